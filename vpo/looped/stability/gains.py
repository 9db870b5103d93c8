"""What each loop buys: cross-entropy after every loop, and how far the prediction moved.

States of every loop are read through the model's own coda, norm and head (a logit lens that the model was trained for
at its usual depth only; a model with a terminal loss alone reads badly elsewhere).

Shape letters: L loops, B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from vpo.looped.model import LoopedForCausalLM


@dataclass(frozen=True)
class Gain:
    """Numbers of each loop and token, (L, B, T), NaN at padding.

    Args:
        cross_entropy: Of the next token, in nats; NaN at a sequence's last token.
        kl: ``KL(p_t || p_(t-1))`` of the predictions, in nats; NaN in the first loop.
    """

    cross_entropy: Tensor
    kl: Tensor

    @staticmethod
    def join(parts: Sequence[Gain]) -> Gain:
        """Those of several batches as one, (L, 1, N)."""
        return Gain(
            torch.cat([part.cross_entropy.flatten(1) for part in parts], dim=1).unsqueeze(1),
            torch.cat([part.kl.flatten(1) for part in parts], dim=1).unsqueeze(1),
        )

    def per_loop(self) -> dict[str, list[float]]:
        """Means over tokens, one value a loop."""
        return {
            "cross_entropy": self.cross_entropy.flatten(1).double().nanmean(1).tolist(),
            "kl": self.kl.flatten(1).double().nanmean(1).tolist(),
        }


@torch.no_grad()
def gain(model: LoopedForCausalLM, input_ids: Tensor, attention_mask: Tensor | None, loops: int) -> Gain:
    """Gain of each of ``loops`` loops on sequences (B, T), every token at full depth."""
    real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    outputs = model.model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        num_loops=loops,
        use_cache=False,
        output_loop_states=True,
    )
    lost = torch.full(input_ids.shape, torch.nan, device=input_ids.device)
    has_next = real[:, :-1] & real[:, 1:]
    losses, moves, before = [], [], None
    for hidden in outputs.loop_hidden_states:
        logits = model.lm_head(hidden).float()
        loss = lost.clone()
        each = cross_entropy(logits[:, :-1].transpose(1, 2), input_ids[:, 1:], reduction="none")
        loss[:, :-1] = torch.where(has_next, each, torch.nan)
        losses.append(loss)
        now = logits.log_softmax(-1)
        moves.append(lost if before is None else torch.where(real, (now.exp() * (now - before)).sum(-1), torch.nan))
        before = now
    return Gain(torch.stack(losses), torch.stack(moves))
