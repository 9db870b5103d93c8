"""What the model would predict after each loop, token by token: loss, accuracy, and how far the prediction moved.

A logit lens through the model's own coda, norm and head (see :mod:`vpo.looped.stability.gains`). Divergences to the
*capped* output are what stopping early costs; those to the *previous* loop are what a loop does.

Shape letters: R loops, N tokens, H width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 1 << 23  # logits at a time, 32 MiB in fp32; about five such arrays exist at once


@dataclass(frozen=True)
class Readings:
    """Numbers of R outputs (the loops, or R stopping rules) and N tokens, all (R, N), float64, on the CPU.

    Args:
        cross_entropy: Of the next token, in nats.
        correct: 1 where the most likely token is the next one, else 0.
        kl_previous: ``KL(p_t || p_(t-1))`` in nats, NaN in the first loop.
        kl_capped: ``KL(p_t || p_cap)`` in nats.
    """

    cross_entropy: Tensor
    correct: Tensor
    kl_previous: Tensor
    kl_capped: Tensor

    @staticmethod
    def join(parts: Sequence[Readings]) -> Readings:
        """Those of several batches as one."""
        names = ("cross_entropy", "correct", "kl_previous", "kl_capped")
        return Readings(*(torch.cat([getattr(part, name) for part in parts], dim=1) for name in names))


@torch.no_grad()
def read_outputs(
    outputs: Sequence[Tensor],
    exits: Sequence[Tensor],
    targets: Tensor,
    cap: int,
    logits: Callable[[Tensor], Tensor],
) -> tuple[Readings, Readings]:
    """Read the outputs of every loop and of stopping rules.

    Args:
        outputs: R tensors (N, H), one a loop.
        exits: Any number of tensors (N, H), one a stopping rule; their ``kl_previous`` is NaN.
        targets: (N,) the tokens that came next.
        cap: Loop of the output that divergences are measured to, 1 to R.
        logits: (n, H) -> (n, V), for any n.

    Returns:
        Readings (R, N) of the loops, and (len(exits), N) of the rules.

    Raises:
        ValueError: ``cap`` is none of the loops, or a shape does not fit.
    """
    if not 1 <= cap <= len(outputs):
        raise ValueError(f"cap is {cap}: expected one of the loops 1 to {len(outputs)}. Run more loops, or lower it.")
    if any(len(each) != len(targets) for each in (*outputs, *exits)):
        sizes = [len(each) for each in (*outputs, *exits)]
        raise ValueError(f"outputs have {sizes} rows: expected {len(targets)} in each, one a target. Select alike.")
    loops, rules = _Sums(len(outputs)), _Sums(len(exits))
    start = 0
    while start < len(targets):
        part = slice(start, start + _rows(logits, outputs[0], start))
        capped = logits(outputs[cap - 1][part]).log_softmax(-1)
        before = None
        for t, each in enumerate(outputs):
            now = capped if t == cap - 1 else logits(each[part]).log_softmax(-1)
            loops.add(t, now, before, capped, targets[part])
            before = now
        for t, each in enumerate(exits):
            rules.add(t, logits(each[part]).log_softmax(-1), None, capped, targets[part])
        start = part.stop
    return loops.readings(len(targets)), rules.readings(len(targets))


class _Sums:
    def __init__(self, rows: int) -> None:
        self.parts: list[list[Tensor]] = [[] for _ in range(rows)]

    def add(self, row: int, now: Tensor, before: Tensor | None, capped: Tensor, targets: Tensor) -> None:
        loss = -now.gather(1, targets[:, None]).squeeze(1)
        share = now.exp()
        moved = torch.full_like(loss, torch.nan) if before is None else _divergence(share, now, before)
        away = torch.zeros_like(loss) if now is capped else _divergence(share, now, capped)
        found = torch.stack([loss, (now.argmax(-1) == targets).to(loss), moved, away])
        self.parts[row].append(found.double().cpu())

    def readings(self, count: int) -> Readings:
        if not self.parts or not count:
            return Readings(*(torch.empty(len(self.parts), count, dtype=torch.float64) for _ in range(4)))
        return Readings(*torch.stack([torch.cat(each, dim=1) for each in self.parts], dim=1))


def _divergence(share: Tensor, now: Tensor, other: Tensor) -> Tensor:
    """(n, V) -> (n,); rounding must not make it negative."""
    return (share * (now - other)).sum(-1).clamp(min=0)


def _rows(logits: Callable[[Tensor], Tensor], outputs: Tensor, start: int) -> int:
    """How many rows at a time; the vocabulary's size is learned from one."""
    return max(1, _CHUNK // logits(outputs[start : start + 1]).shape[1])
