"""Supervised training of a halting gate, for the depth policies that learn when to stop.

``"joint"`` trains model and gate under the expected loss over exits (Ouro's first stage); ``"posthoc"`` freezes the
model and teaches the gate where another loop helps (its second stage); ``"act"`` trains through ACT's own average with
a ponder cost. Halting at a fixed point needs none of it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from trl import SFTTrainer

from trainers.model_cards import ModelCards
from vpo.looped import ACT, FixedDepth, looped_policy
from vpo.looped.depth.losses import expected_loss, gate_entropy, improvement_loss, ponder_cost


class GateTrainer(ModelCards, SFTTrainer):
    """``SFTTrainer`` for the gate of a looped model built with ``halt_gate=True``.

    Args:
        method: ``"joint"``, ``"posthoc"`` or ``"act"``.
        cap: Loops that are run and read out.
        weight: Of the exit distribution's entropy (joint; Ouro used 0.1, then 0.05), or of the ponder cost (act).
        entropy: Of the gate's own binary entropy (joint and posthoc; LoopWM's, which keeps it from saturating).
        **kwargs: Everything that ``SFTTrainer`` takes.

    Raises:
        ValueError: The model has no gate, or a setting is out of range.
    """

    _tag_names: ClassVar[list[str]] = ["trl", "vpo", "halting-gate"]
    _name = "Gate"

    def __init__(
        self,
        *args: Any,
        method: Literal["joint", "posthoc", "act"] = "posthoc",
        cap: int = 4,
        weight: float = 0.05,
        entropy: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        policy = looped_policy(self.accelerator.unwrap_model(self.model))
        if policy is None or getattr(policy, "model", policy).halt_gate is None:
            raise ValueError(
                f"{type(self.model).__name__} has no halting gate: build the model with LoopedConfig(halt_gate=True)."
            )
        if method not in ("joint", "posthoc", "act"):
            raise ValueError(f"method is {method!r}: expected 'joint', 'posthoc' or 'act'.")
        if cap < 2 or weight < 0 or entropy < 0:
            raise ValueError(
                f"cap is {cap}, weight {weight} and entropy {entropy}: expected at least 2 loops, and weights of 0 or "
                "more."
            )
        self.method, self.cap, self.gate_weight, self.gate_entropy = method, cap, weight, entropy
        if method == "posthoc":
            for name, parameter in policy.named_parameters():
                parameter.requires_grad_("halt_gate" in name)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The method's loss, a mean over the trained tokens of the whole batch."""
        labels = inputs["labels"]
        targets, mask = labels[:, 1:], labels[:, 1:] != -100
        batch = {name: value for name, value in inputs.items() if name != "labels"} | {"use_cache": False}
        if self.method == "act":
            output = model(**batch, depth_policy=ACT(self.cap))
            losses = _losses(output.logits[:, :-1], targets)
            loss = (losses * mask).sum() / mask.sum().clamp(min=1)
            cost = ponder_cost(output.loop_depths[:, :-1], output.loop_remainders[:, :-1], mask)
            loss = loss + self.gate_weight * cost
        else:
            policy = FixedDepth(self.cap)
            output = model(**batch, depth_policy=policy, output_loop_states=True, logits_to_keep=1)
            loss = self._exit_loss(output, targets, mask)
        if num_items_in_batch is not None:  # micro-batches of a step add up
            loss = loss * mask.sum() / num_items_in_batch
            if self.args.average_tokens_across_devices:
                loss = loss * self.accelerator.num_processes  # DDP averages over the processes
        return (loss, output) if return_outputs else loss

    def _exit_loss(self, output: Any, targets: Tensor, mask: Tensor) -> Tensor:
        """Of the gate's two stages, from the hidden states after every loop."""
        head = looped_policy(self.accelerator.unwrap_model(self.model)).lm_head  # type: ignore[union-attr]
        hidden = [state[:, :-1] for state in output.loop_hidden_states]
        gate = torch.stack([logits[:, :-1] for logits in output.loop_gate_logits])
        if self.method == "posthoc":
            with torch.no_grad():
                losses = torch.stack([_losses(head(state), targets) for state in hidden])
            loss = improvement_loss(losses, gate, mask)
        else:
            # The (B, T, V) logits of a loop are made again in the backward pass, not kept for all of them.
            read = [checkpoint(lambda s: _losses(head(s), targets), state, use_reentrant=False) for state in hidden]
            loss = expected_loss(torch.stack(read), gate, mask, self.gate_weight)
        return loss - self.gate_entropy * gate_entropy(gate, mask) if self.gate_entropy else loss


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """(B, T, V) logits and (B, T) targets, -100 for none -> (B, T) nats."""
    flat = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none", ignore_index=-100)
    return flat.view(targets.shape)
