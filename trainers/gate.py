"""Supervised training of a halting gate, for the depth policies that learn when to stop.

``"joint"`` trains model and gate under the expected loss over exits (Ouro's first stage); ``"posthoc"`` freezes the
model and teaches the gate where another loop helps (its second stage); ``"act"`` trains through ACT's own average with
a ponder cost. Halting at a fixed point needs none of it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from trl import SFTTrainer

from vpo.looped import ACT, FixedDepth, looped_policy
from vpo.looped.depth.losses import expected_loss, improvement_loss, ponder_cost


class GateTrainer(SFTTrainer):
    """``SFTTrainer`` for the gate of a looped model built with ``halt_gate=True``.

    Args:
        method: ``"joint"``, ``"posthoc"`` or ``"act"``.
        cap: Loops that are run and read out.
        weight: Of the exit distribution's entropy (joint; Ouro used 0.1, then 0.05), or of the ponder cost (act).
        **kwargs: Everything that ``SFTTrainer`` takes.

    Raises:
        ValueError: The model has no gate, or a setting is out of range.
    """

    def __init__(
        self,
        *args: Any,
        method: Literal["joint", "posthoc", "act"] = "posthoc",
        cap: int = 4,
        weight: float = 0.05,
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
        if cap < 2 or weight < 0:
            raise ValueError(f"cap is {cap} and weight {weight}: expected at least 2 loops and a weight of 0 or more.")
        self.method, self.cap, self.gate_weight = method, cap, weight
        if method == "posthoc":
            for name, parameter in policy.named_parameters():
                parameter.requires_grad_("halt_gate" in name)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The method's loss on one batch."""
        labels = inputs["labels"]
        batch = {"input_ids": inputs["input_ids"], "attention_mask": inputs.get("attention_mask"), "use_cache": False}
        targets, mask = labels[:, 1:], labels[:, 1:] != -100
        if self.method == "act":
            output = model(**batch, depth_policy=ACT(self.cap))
            losses = _losses(output.logits, targets)
            loss = (losses * mask).sum() / mask.sum().clamp(min=1)
            cost = ponder_cost(output.loop_depths[:, :-1], output.loop_remainders[:, :-1], mask)
            loss = loss + self.gate_weight * cost
        else:
            output = model(**batch, depth_policy=FixedDepth(self.cap), output_loop_states=True)
            head = looped_policy(self.accelerator.unwrap_model(model)).lm_head  # type: ignore[union-attr]
            losses = torch.stack([_losses(head(hidden), targets) for hidden in output.loop_hidden_states])
            gate = torch.stack(list(output.loop_gate_logits))[:, :, :-1]
            if self.method == "joint":
                loss = expected_loss(losses, gate, mask, self.gate_weight)
            else:
                loss = improvement_loss(losses.detach(), gate, mask)
        return (loss, output) if return_outputs else loss


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """(B, T, V) logits and (B, T - 1) targets, -100 for none -> (B, T - 1) nats."""
    flat = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), targets.flatten(), reduction="none", ignore_index=-100)
    return flat.view(targets.shape)
