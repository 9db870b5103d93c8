"""Diversity terms of other methods, to put on top of an objective: they change scores before advantages are taken.

Each looks at a completion next to its group: how many members gave the same answer, or how likely it was. With several
answers a completion, a completion's figure is the mean over its answers.

Shape letters: P prompts, G completions a prompt, M answers a completion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from vpo.objective.groups import AnswerGroups
from vpo.objective.named import build


class Diversity(Protocol):
    """A term that changes the scores of a group.

    Attributes:
        name: The name it is chosen by.
        needs_logps: Whether ``groups.logps`` is read.
    """

    name: ClassVar[str]
    needs_logps: ClassVar[bool]

    def shape(self, scores: Tensor, groups: AnswerGroups) -> Tensor:
        """(P, G) scores of an objective -> (P, G) scores that advantages are taken of."""
        ...


@dataclass(frozen=True)
class Darling:
    """Quality times diversity (DARLING, arXiv 2509.02534): the share of the other members that answered otherwise.

    The paper partitions by a learned classifier; here answers are the same when their labels are. The trainer's labels
    are the answers' text, so with num_answers = 1, where the completion is the answer, reasoning makes all differ.

    Attributes:
        floor: Least diversity; the paper's variant for mathematics uses 0.1, so that a group of one correct answer is
            still paid.
    """

    floor: float = 0.0

    name: ClassVar[str] = "darling"
    needs_logps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is {self.floor}: expected a share in [0, 1].")

    def shape(self, scores: Tensor, groups: AnswerGroups) -> Tensor:
        """Scores times diversity."""
        others = max(scores.shape[1] - 1, 1)
        return scores * (1 - members_that_agree(groups) / others).clamp(min=self.floor)


@dataclass(frozen=True)
class BatchExploration:
    """Outcome-based exploration within the batch (arXiv 2509.06941): minus the share of members that agree.

    Attributes:
        weight: Factor of the penalty, in the unit of the scores.
    """

    weight: float = 1.0

    name: ClassVar[str] = "batch_exploration"
    needs_logps: ClassVar[bool] = False

    def shape(self, scores: Tensor, groups: AnswerGroups) -> Tensor:
        """Scores minus ``weight / G`` times the number of other members with the same answer."""
        return scores - self.weight * members_that_agree(groups) / scores.shape[1]


@dataclass(frozen=True)
class Unlikeliness:
    """Unlikeliness reward (arXiv 2506.02355): the likelier a completion is within its group, the less it is paid.

    Ranked by the mean log-probability of a token, so that a long completion is not unlikely for being long.

    Attributes:
        beta: The most likely member keeps ``1 - beta`` of its score, the least likely ``1 - beta / G``.
    """

    beta: float = 0.25

    name: ClassVar[str] = "unlikeliness"
    needs_logps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta is {self.beta}: expected a share in [0, 1] (the paper uses 0.25).")

    def shape(self, scores: Tensor, groups: AnswerGroups) -> Tensor:
        """Scores times ``1 - beta * rank / G``; rank 1 is the least likely member."""
        if groups.logps is None:
            raise ValueError("diversity 'unlikeliness' got no log-probabilities: expected (P, G).")
        rank = groups.logps.argsort(dim=1, stable=True).argsort(dim=1) + 1
        return scores * (1 - self.beta * rank.to(scores) / scores.shape[1])


DIVERSITY: dict[str, Callable[..., Diversity]] = {cls.name: cls for cls in (Darling, BatchExploration, Unlikeliness)}


def make_diversity(name: str, **options: Any) -> Diversity:
    """Build a diversity term by its name; ``options`` are its fields.

    Raises:
        ValueError: The name, or an option's value, is unknown.
        TypeError: It has no such option.
    """
    return build("diversity", DIVERSITY, name, options)


def members_that_agree(groups: AnswerGroups) -> Tensor:
    """(P, G) mean over a completion's answers of how many other members hold an answer of the same label.

    0 for a completion without an answer.

    Raises:
        ValueError: The groups have no labels.
    """
    if groups.labels is None:
        raise ValueError("a diversity term got no labels of the answers: expected (P, G, M).")
    prompts, size, answers = groups.labels.shape
    labels, exists = groups.labels.flatten(1), groups.mask.flatten(1)  # (P, G * M)
    same = (labels.unsqueeze(2) == labels.unsqueeze(1)) & exists.unsqueeze(1)  # (P, G * M, G * M)
    holds = same.view(prompts, size, answers, size, answers).any(dim=-1)  # (P, G, M, G): does member j hold the answer?
    others = ~torch.eye(size, dtype=torch.bool, device=labels.device).unsqueeze(1)  # (G, 1, G)
    count = (holds & others).sum(dim=-1) * groups.mask  # (P, G, M)
    return count.sum(dim=-1) / groups.mask.sum(dim=-1).clamp(min=1)
