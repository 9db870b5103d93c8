"""What an objective is: scores of completions, and advantages from them.

Shape letters: P prompts, G completions a prompt, M answers a completion.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from vpo.objective.advantages import Scale, group_advantages
from vpo.objective.groups import AnswerGroups


class Objective:
    """How the answers of a group become advantages; subclasses give at least ``name`` and ``scores``.

    All methods are pure functions: no gradient flows, no state is kept, no random number drawn.

    Attributes:
        name: The name it is chosen by.
        uses_drawn_weightings: Whether ``groups.weights`` is read; if not, none need be drawn.
        pays_one_answer: Whether it is defined for completions of a single answer only.
        paid_by_scores: Whether advantages depend on nothing but scores, so that a diversity term may change them.
    """

    name: ClassVar[str]
    uses_drawn_weightings: ClassVar[bool] = False
    pays_one_answer: ClassVar[bool] = False
    paid_by_scores: ClassVar[bool] = True

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """Score completions.

        Args:
            groups: The answers of whole groups.
            mask: (P, G, M) answers that each completion is scored for, while its peers keep all of theirs; by
                default ``groups.mask``. Marginal credit asks what a completion is worth without an answer.

        Returns:
            (P, G) scores, 0 for a completion without an answer.
        """
        raise NotImplementedError

    def advantages(self, groups: AnswerGroups, scores: Tensor, scale: Scale = "group") -> Tensor:
        """Advantages of completions.

        Args:
            groups: The answers that were scored.
            scores: (P, G), as `scores` gave them, perhaps changed by a diversity term.
            scale: What `group_advantages` divides by.

        Returns:
            (P, G) advantages.
        """
        return group_advantages(scores.reshape(-1), scores.shape[1], scale).view_as(scores)
