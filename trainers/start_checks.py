"""Checks at the start of training that a policy is what reinforcement learning assumes it to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vpo.looped import looped_policy

if TYPE_CHECKING:
    from trl import GRPOTrainer

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # nats; half precision gets 0.1


def check_policy(trainer: GRPOTrainer) -> None:
    """Refuse a policy whose training log-probabilities would not be those it samples with.

    Since TRL 1.15 training computes log-probabilities from the backbone's last hidden state and the head's weight, not
    by the model's own forward. Whatever a custom model does after its backbone is silently left out; this finds it.

    Raises:
        ValueError: The depth policy is random, or the two log-probabilities differ.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    looped = looped_policy(model)
    if looped is not None and looped.depth_policy.draw(1, torch.device("cpu")) is not None:
        raise ValueError(
            f"the policy's depth is random ({looped.depth_policy}): tokens would be trained at another depth than they "
            "were sampled at. Set looped_policy(model).depth_policy = FixedDepth(n) before reinforcement learning."
        )
    if looped is not None and trainer.ref_model is not None:
        reference = looped_policy(trainer.accelerator.unwrap_model(trainer.ref_model))
        if reference is not None:  # loaded from disk, it knows nothing of a depth set since
            reference.depth_policy = looped.depth_policy
    if trainer.is_deepspeed_enabled:
        return  # parameters may be partitioned before the engine exists
    gap, dtype = _logprob_gap(trainer)
    if not gap <= _TOLERANCE.get(dtype, 0.1):
        raise ValueError(
            f"TRL's training log-probabilities differ from the model's own by {gap:.3g} nats: {type(model).__name__} "
            "changes the logits after its backbone (scaling, mixing, a second head), which TRL's fused head bypasses. "
            "Move that into the backbone, or set the matching config field (logit_scale, final_logit_softcapping)."
        )


@torch.no_grad()
def _logprob_gap(trainer: GRPOTrainer) -> tuple[float, torch.dtype]:
    model = trainer.model
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    length = 8
    vocabulary = model.config.get_text_config().vocab_size
    ids = (torch.arange(2 * length, device=device).view(2, length) * 7 + 3) % vocabulary
    mask = torch.ones_like(ids)
    with trainer.accelerator.autocast():
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    own = (logits / trainer.temperature).log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    fused = trainer._get_per_token_logps_and_entropies(model, ids, mask, length - 1)[0]
    model.train(was_training)
    return (own - fused.float()).abs().max().item(), next(model.parameters()).dtype
