"""Sequences of steps to learn from, padded to one length.

Shape letters: N sequences, T steps, d rewards; O stands for the shape of an observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """One sequence, as it was recorded.

    Args:
        observations: (T + 1, O), before the first step and after each.
        actions: (T,) numbers or (T, A) vectors.
        rewards: (T, d) of each step.
        ended: Whether the environment ended with the last step; false if the recording did.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    ended: bool


@dataclass(frozen=True)
class Transitions:
    """Padded sequences.

    Args:
        observations: (N, T + 1, O) float.
        actions: (N, T) int64, or (N, T, A) float.
        rewards: (N, T, d) float.
        continues: (N, T) float, 0 where the environment ended with the step.
        mask: (N, T) bool, false at padding, which stands at the end.

    Raises:
        ValueError: Shapes do not fit, or padding does not stand at the end.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    continues: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        size = tuple(self.mask.shape)
        shapes = {each.name: tuple(getattr(self, each.name).shape) for each in fields(self)}
        fits = len(size) == 2 and all(shapes[name][:2] == size for name in ("actions", "rewards", "continues"))
        if not fits or shapes["observations"][:2] != (size[0], size[1] + 1) or self.rewards.ndim != 3:
            raise ValueError(
                f"shapes {shapes} do not fit: expected N sequences of T steps, observations (N, T + 1, ...), rewards "
                "(N, T, d), the others (N, T). There is one observation more than there are steps, the last one."
            )
        if bool((self.mask[:, 1:] & ~self.mask[:, :-1]).any()) or not bool(self.mask[:, 0].all()):
            raise ValueError("mask: expected true for the steps of a sequence, 1 at least, and false only after them.")

    def __len__(self) -> int:
        return len(self.mask)

    @property
    def horizon(self) -> int:
        """T, steps of the longest sequence."""
        return self.mask.shape[1]

    def take(self, rows: Tensor | slice) -> Transitions:
        """The sequences ``rows``."""
        return Transitions(*(getattr(self, each.name)[rows] for each in fields(self)))

    def to(self, device: torch.device | str) -> Transitions:
        """The same on another device."""
        return Transitions(*(getattr(self, each.name).to(device) for each in fields(self)))

    @staticmethod
    def of(episodes: Sequence[Episode]) -> Transitions:
        """Pad recorded sequences.

        Raises:
            ValueError: There are none, or one has no steps.
        """
        if not episodes or min(len(each.actions) for each in episodes) < 1:
            raise ValueError("expected one sequence at least, each of one step at least. Leave empty ones out.")
        longest = max(len(each.actions) for each in episodes)

        def padded(rows: Tensor, length: int) -> Tensor:
            return torch.cat([rows, rows[-1:].expand(length - len(rows), *rows.shape[1:])])  # a value that is valid

        going = [torch.ones(len(each.actions)) for each in episodes]
        for each, flags in zip(episodes, going, strict=True):
            flags[-1] = 0.0 if each.ended else 1.0
        return Transitions(
            torch.stack([padded(each.observations, longest + 1) for each in episodes]),
            torch.stack([padded(each.actions, longest) for each in episodes]),
            torch.stack([padded(each.rewards, longest) for each in episodes]),
            torch.stack([padded(flags, longest) for flags in going]),
            torch.stack([torch.arange(longest) < len(each.actions) for each in episodes]),
        )

    def windows(self, length: int) -> Transitions:
        """Every sequence cut into pieces of ``length`` steps, the last ones shorter; what a model is trained on.

        Raises:
            ValueError: ``length`` is below 1.
        """
        if length < 1:
            raise ValueError(f"windows of {length} steps: expected 1 or more.")
        episodes = []
        for row in range(len(self)):
            steps = int(self.mask[row].sum())
            for first in range(0, steps, length):
                last = min(first + length, steps)
                episodes.append(
                    Episode(
                        self.observations[row, first : last + 1],
                        self.actions[row, first:last],
                        self.rewards[row, first:last],
                        bool(self.continues[row, last - 1] == 0),
                    )
                )
        return Transitions.of(episodes)
