"""What a depth report is measured on: tokens, which of them count, and what kind of text they are from.

Shape letters: B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Passage:
    """One sequence of tokens.

    Args:
        ids: Its tokens, two at least.
        start: Index of the first token whose prediction counts, 1 or more; a prompt's are left out.
        kind: Its format, in a word.
        difficulty: How hard it is, in a word; empty if nobody said so.
    """

    ids: Sequence[int]
    start: int = 1
    kind: str = "text"
    difficulty: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.start < len(self.ids):
            raise ValueError(
                f"start is {self.start} of {len(self.ids)} tokens: expected 1 or more, and a token after it. "
                "Leave out passages of a single token, and prompts without an answer."
            )


@dataclass(frozen=True)
class PassageBatch:
    """Passages padded to one length, on the right.

    Args:
        ids: (B, T).
        mask: (B, T) bool, real tokens.
        counts: (B, T) bool, positions whose next token's prediction counts.
        kinds: B formats.
        difficulties: B words, empty where unknown.
    """

    ids: Tensor
    mask: Tensor
    counts: Tensor
    kinds: list[str]
    difficulties: list[str]


def passage_batches(passages: Sequence[Passage], batch_size: int) -> list[PassageBatch]:
    """Batches of passages of like length.

    Args:
        passages: One at least.
        batch_size: B of all batches but the last.

    Raises:
        ValueError: There is no passage, or ``batch_size`` is below 1.
    """
    if not passages or batch_size < 1:
        raise ValueError(
            f"there are {len(passages)} passages for batches of {batch_size}: expected 1 or more of both. Give text of "
            "two tokens at least."
        )
    ordered = sorted(passages, key=lambda passage: len(passage.ids))
    batches = []
    for first in range(0, len(ordered), batch_size):
        rows = ordered[first : first + batch_size]
        ids = torch.zeros(len(rows), max(len(row.ids) for row in rows), dtype=torch.long)
        mask, counts = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
        for i, row in enumerate(rows):
            length = len(row.ids)
            ids[i, :length], mask[i, :length] = torch.tensor(list(row.ids)), True
            counts[i, row.start - 1 : length - 1] = True
        batches.append(PassageBatch(ids, mask, counts, [r.kind for r in rows], [r.difficulty for r in rows]))
    return batches
