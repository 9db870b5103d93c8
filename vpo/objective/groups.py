"""What an objective is paid for: the answers of whole groups, with everything that any objective reads of them.

Shape letters: P prompts, G completions a prompt, M answers a completion, K weightings, D components.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnswerGroups:
    """Answers of P prompts with G completions each.

    Args:
        rewards: (P, G, M, D) reward vectors, higher is better; not read where ``mask`` or ``applies`` is False.
        mask: (P, G, M) bool, False where there is no answer.
        w_star: (D,) or (P, D) weights of deployment.
        weights: (P, K, D) drawn weightings, shared by a group; None where none are drawn.
        concentration: (P, D) parameters of the Dirichlet that weightings would be drawn from, for an objective that
            integrates over it instead; a component with 0 has no weight.
        labels: (P, G, M) int64; answers of a group that count as the same have the same label.
        logps: (P, G) mean log-probability of a completion's tokens when it was sampled, in nats.
        applies: (P, D) bool, components that a prompt has; None for all of them. The others count as 0 with weight 0;
            weightings must give them none, and sum to 1 over the rest. ``w_star`` is not rescaled: a fixed weighting
            sums what is there, as TRL does. Evaluation and search rescale it (`eval.prompt_weights`).

    Raises:
        ValueError: The shapes do not fit.
    """

    rewards: Tensor
    mask: Tensor
    w_star: Tensor
    weights: Tensor | None = None
    concentration: Tensor | None = None
    labels: Tensor | None = None
    logps: Tensor | None = None
    applies: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rewards.ndim != 4 or self.rewards.shape[-1] == 0 or not self.rewards.is_floating_point():
            raise ValueError(
                f"rewards are {tuple(self.rewards.shape)} of {self.rewards.dtype}: expected (P, G, M, D) floating "
                "point reward vectors with D at least 1. Give the answers of whole groups, gathered from all processes."
            )
        prompts, _, _, dim = self.rewards.shape
        if self.w_star.shape == (dim,):
            object.__setattr__(self, "w_star", self.w_star.expand(prompts, dim))
        self._check("mask", self.mask, self.rewards.shape[:3])
        if self.mask.dtype != torch.bool:
            raise ValueError(f"mask is of {self.mask.dtype}: expected torch.bool, True where an answer exists.")
        self._check("w_star", self.w_star, (prompts, dim))
        if self.weights is not None:
            num = self.weights.shape[1] if self.weights.ndim == 3 else -1
            self._check("weights", self.weights, (prompts, num, dim))
        if self.concentration is not None:
            self._check("concentration", self.concentration, (prompts, dim))
        if self.labels is not None:
            self._check("labels", self.labels, self.rewards.shape[:3])
        if self.logps is not None:
            self._check("logps", self.logps, self.rewards.shape[:2])
        if self.applies is not None:
            self._check("applies", self.applies, (prompts, dim))
            object.__setattr__(self, "rewards", torch.where(self.applies[:, None, None], self.rewards, 0.0))
            object.__setattr__(self, "w_star", torch.where(self.applies, self.w_star, 0.0))

    def _check(self, name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
        if tensor.shape != expected:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} and does not fit rewards {tuple(self.rewards.shape)}: expected "
                f"{tuple(expected)}."
            )

    def utilities(self) -> Tensor:
        """(P, G, M) ``w* . r`` of each answer; 0 where there is none."""
        w_star = self.w_star.to(self.rewards)[:, None, None]
        products = (self.rewards * w_star).sum(dim=-1)  # the plain sum of products, to the last bit as TRL's
        return torch.where(self.mask, products, 0.0)

    def first(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(P, G, M) values -> (P, G) value of each completion's first answer in ``mask``; 0 where there is none."""
        mask = self.mask if mask is None else mask
        if values.shape[-1] == 0:
            return values.new_zeros(values.shape[:-1])
        place = mask.to(torch.uint8).argmax(dim=-1, keepdim=True)
        return torch.where(mask.any(dim=-1), values.gather(-1, place).squeeze(-1), 0.0)

    def best(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(P, G, M) values -> (P, G) largest of each completion's answers in ``mask``; 0 where there is none."""
        mask = self.mask if mask is None else mask
        if values.shape[-1] == 0:
            return values.new_zeros(values.shape[:-1])
        largest = values.masked_fill(~mask, -torch.inf).amax(dim=-1)
        return torch.where(mask.any(dim=-1), largest, 0.0)
