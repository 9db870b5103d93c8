"""Dominated novelty search (Bahlous-Boldi et al., arXiv 2502.00593): quality diversity without a grid.

A population of fixed size keeps whoever is fit, or far from everybody fitter; parents and inspirations are drawn from
it alike. Fitness is the scalar; the descriptor is the reward vector unless the user gives another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from search.archives.novelty import NoveltyArchive
from search.procedures.options import check_count, check_share, name_of
from search.procedures.proposing import IID_HINT, iid_draw, num_iid, valid, varied
from search.procedures.protocol import Vary
from search.records import Candidate, Proposal, Result


def reward_vector(candidate: Candidate) -> Sequence[float]:
    """Place a candidate where its rewards lie."""
    return candidate.vector


class DominatedNoveltySearch:
    """Parents by chance from the population of highest dominated novelty.

    Args:
        vary: ``Problem.vary``, or any function like it.
        descriptor: Candidate -> where it lies, always the same number of finite coordinates.
        num_neighbors: Over how many fitter neighbours the distance is averaged.
        num_inspirations: How many other members are shown at most.
        capacity: Members of the population.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].

    Attributes:
        archive: The population.

    Raises:
        ValueError: An option lies outside its range; later, if ``descriptor`` gives no finite coordinates.
    """

    def __init__(
        self,
        vary: Vary,
        *,
        descriptor: Callable[[Candidate], Sequence[float]] = reward_vector,
        num_neighbors: int = 3,
        num_inspirations: int = 1,
        capacity: int = 256,
        iid_share: float = 0.25,
    ) -> None:
        if not callable(descriptor):
            raise ValueError(f"descriptor is {descriptor!r}, expected a function from a candidate to its coordinates.")
        check_count("num_neighbors", num_neighbors, 1, "3 is the default.")
        check_count("num_inspirations", num_inspirations, 0, "1 is the default.")
        check_count("capacity", capacity, 1, "256 is the default.")
        check_share("iid_share", iid_share, IID_HINT)
        self.descriptor, self.num_inspirations, self.iid_share = descriptor, num_inspirations, iid_share
        self.archive = NoveltyArchive(capacity, num_neighbors)
        self._num_coordinates: int | None = None
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` requests: i.i.d. ones first, then varied members."""
        members = self.archive.members
        free = num_iid(self.iid_share, num, rng) if members else num
        proposals = [iid_draw(1, rng) for _ in range(free)]
        for _ in range(num - free):
            parent, *shown = rng.sample(members, min(1 + self.num_inspirations, len(members)))
            proposals.append(varied(self._vary, parent, shown, rng))
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """Admit every valid answer, one by one."""
        for result in results:
            for candidate in valid(result):
                self.archive.add(candidate, self._place(candidate))

    def _place(self, candidate: Candidate) -> tuple[float, ...]:
        place = tuple(float(coordinate) for coordinate in self.descriptor(candidate))
        self._num_coordinates = self._num_coordinates or len(place)
        if not place or len(place) != self._num_coordinates or not all(map(math.isfinite, place)):
            raise ValueError(
                f"descriptor gave {place}, expected {self._num_coordinates or 'some'} finite coordinates: give every "
                "candidate the same number of them."
            )
        return place

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {
            "name": "dominated_novelty",
            "descriptor": name_of(self.descriptor),
            "num_neighbors": self.archive.num_neighbors,
            "num_inspirations": self.num_inspirations,
            "capacity": self.archive.capacity,
            "iid_share": self.iid_share,
        }
