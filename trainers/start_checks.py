"""Checks at the start of training that a policy is what reinforcement learning assumes it to be."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedConfig

from trainers.trackers import no_timings_in_trackio
from vpo.looped import FixedDepth, KLExit, LoopedConfig, looped_policy
from vpo.looped.vllm_plugin import check_config

if TYPE_CHECKING:
    from trl import GRPOConfig, GRPOTrainer

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # nats; half precision gets 0.1


def check_sampling(model: Any, args: GRPOConfig) -> None:
    """Refuse, before anything is built, engines that would sample from another policy than the one that is trained.

    Args:
        model: The model, or its name.
        args: Settings of the trainer.

    Raises:
        ValueError: A looped policy would be sampled by continuous batching, or by vLLM in a way in which it cannot run
            it or tell its depths; or vLLM is to read from disk a policy that was never saved.
    """
    if not (args.use_vllm or args.use_transformers_continuous_batching):
        return
    looped = _looped_config(model, args)
    if looped is not None and args.use_vllm:
        _check_looped_vllm(looped, args)
    elif looped is not None:
        raise ValueError(
            "use_transformers_continuous_batching=True with a looped policy: its paged cache keeps one version of keys "
            "and values for all loops. Switch it off."
        )
    if args.use_vllm and args.vllm_mode == "colocate" and not getattr(model, "name_or_path", model):
        raise ValueError(
            "use_vllm=True with a model that lies in memory alone: vLLM reads it from disk. Save it with its "
            "tokenizer (model.save_pretrained(folder), tokenizer.save_pretrained(folder)) and pass the folder instead."
        )


def _looped_config(model: Any, args: GRPOConfig) -> LoopedConfig | None:
    """The configuration of a looped policy, None for any other."""
    if not isinstance(model, str):
        policy = looped_policy(model)
        return None if policy is None else policy.config
    # The file alone: to build the configuration may run code that comes with the model. Ours does not.
    file, _ = PreTrainedConfig.get_config_dict(model, revision=(args.model_init_kwargs or {}).get("revision"))
    return LoopedConfig.from_dict(file) if file.get("model_type") == LoopedConfig.model_type else None


def _check_looped_vllm(config: LoopedConfig, args: GRPOConfig) -> None:
    if args.vllm_mode == "server":
        raise ValueError(
            "vllm_mode='server' with a looped policy: a server does not tell the depths that it sampled at, and the "
            "policy is trained at them. Use vllm_mode='colocate', or sample with transformers (use_vllm=False)."
        )
    if args.vllm_tensor_parallel_size > 1:
        raise ValueError(
            "vllm_tensor_parallel_size above 1 with a looped policy: not tried yet. Leave it at 1, an engine a process."
        )
    if args.vllm_model_impl != "vllm":
        raise ValueError(
            f"vllm_model_impl={args.vllm_model_impl!r} with a looped policy: vLLM's transformers backend keeps one "
            "version of keys and values for all loops, which is silently wrong. Leave it at 'vllm'."
        )
    check_config(config)


def check_policy(trainer: GRPOTrainer) -> None:
    """Refuse a policy whose training log-probabilities would not be those it samples with.

    Since TRL 1.15 training computes log-probabilities from the backbone's last hidden state and the head's weight, not
    by the model's own forward. Whatever a custom model does after its backbone is silently left out; this finds it.

    Raises:
        ValueError: The two log-probabilities differ; or a looped policy would be sampled in a way that does not tell
            its depths (a ``rollout_func``, unless the depth is fixed), or trained in one that it cannot be.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    looped = looped_policy(model)
    if looped is not None and trainer.args.depth_training == "live" and isinstance(looped.depth_policy, KLExit):
        raise ValueError(
            "depth_training='live' with KLExit: it decides by the output, and TRL computes training log-probabilities "
            "without the model's head. Use depth_training='replay', or another depth policy."
        )
    if looped is not None and trainer.rollout_func is not None and not isinstance(looped.depth_policy, FixedDepth):
        raise ValueError(
            f"a rollout_func with {looped.depth_policy}: the depths at which its tokens were sampled are not known, so "
            "they could not be trained at them. Sample with the trainer's own generation, or set a FixedDepth."
        )
    if looped is not None and trainer.ref_model is not None:
        reference = looped_policy(trainer.accelerator.unwrap_model(trainer.ref_model))
        if reference is not None:  # loaded from disk, it knows nothing of a depth set since
            reference.depth_policy = looped.depth_policy
    if trainer.is_deepspeed_enabled:
        return  # parameters may be partitioned before the engine exists
    # At a fixed depth, as a policy that looks at the output cannot be asked through TRL's head.
    with nullcontext() if looped is None else looped.at_depth(FixedDepth(looped.depth_policy.cap)):
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
    with no_timings_in_trackio(trainer):
        fused = trainer._get_per_token_logps_and_entropies(model, ids, mask, length - 1)[0]
    model.train(was_training)
    return (own - fused.float()).abs().max().item(), next(model.parameters()).dtype
