"""Evolution from the Pareto front, as in GEPA (arXiv 2507.19457): who is best at more is varied more often.

With few components (four or fewer) dominance says much, and the front is a good set of parents; with many, nearly
everybody is on it, and lexicase selection is the better choice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.archives.signatures import SignaturePopulation
from search.procedures.options import check_choice, check_count, check_share
from search.procedures.proposing import IID_HINT, iid_draw, num_iid, valid, varied
from search.procedures.protocol import Vary
from search.records import Proposal, Result
from search.selection.dominance import num_wins
from search.selection.draws import draw


class ParetoEvolution:
    """Parents and inspirations from the Pareto front of all distinct reward vectors.

    Args:
        vary: ``Problem.vary``, or any function like it.
        parents: "specialists": with probability proportional to the number of components on which a member is best or
            co-best; "front": each member of the front alike, those in its middle too.
        num_inspirations: How many further members are shown at most; drawn the same way, without replacement.
        capacity: Most members, None for no limit.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].

    Attributes:
        population: All members, dominated ones included.

    Raises:
        ValueError: An option lies outside its range.
    """

    def __init__(
        self,
        vary: Vary,
        *,
        parents: Literal["specialists", "front"] = "specialists",
        num_inspirations: int = 1,
        capacity: int | None = 256,
        iid_share: float = 0.25,
    ) -> None:
        check_choice("parents", parents, ("specialists", "front"), "'specialists' is the default.")
        check_count("num_inspirations", num_inspirations, 0, "1 is the default.")
        if capacity is not None:
            check_count("capacity", capacity, 1, "256 is the default, None sets no limit.")
        check_share("iid_share", iid_share, IID_HINT)
        self.parents, self.num_inspirations = parents, num_inspirations
        self.capacity, self.iid_share = capacity, iid_share
        self.population = SignaturePopulation(capacity)
        self._weights: NDArray[np.float64] = np.empty(0)
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` requests: i.i.d. ones first, then varied members of the front."""
        if not len(self.population):
            return [Proposal() for _ in range(num)]
        free = num_iid(self.iid_share, num, rng)
        proposals = [iid_draw(1, rng) for _ in range(free)]
        for _ in range(num - free):
            weights = self._weights.copy()
            chosen: list[int] = []
            while len(chosen) <= self.num_inspirations and weights.any():
                chosen.append(draw(weights, rng))
                weights[chosen[-1]] = 0.0
            parent, *shown = (self.population.members[index] for index in chosen)
            proposals.append(varied(self._vary, parent, shown, rng))
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """Admit every valid answer, and weigh the members anew."""
        for result in results:
            for candidate in valid(result):
                self.population.add(candidate)
        if len(self.population):
            wins = num_wins(self.population.columns.T) if self.parents == "specialists" else 1.0
            self._weights = np.where(self.population.is_dominated, 0.0, wins)

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {
            "name": "pareto",
            "parents": self.parents,
            "num_inspirations": self.num_inspirations,
            "capacity": self.capacity,
            "iid_share": self.iid_share,
        }
