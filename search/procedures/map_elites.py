"""MAP-Elites with islands (Mouret and Clune, arXiv 1504.04909): one elite per cell of behaviours, all alike as parents.

Each island has a map of its own; in a ring, the best elites of an island are copied to the next one now and then.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from search.archives.cells import CellArchive, Descriptor, strongest_two
from search.procedures.islands import Islands
from search.procedures.options import check_count, check_share, name_of
from search.procedures.proposing import IID_HINT, iid_draw, num_iid, varied
from search.procedures.protocol import Vary
from search.records import Proposal, Result


class MapElites:
    """Islands of elites by cell.

    Args:
        vary: ``Problem.vary``, or any function like it.
        descriptor: Candidate -> its cell; by default the two components on which it is strongest. ``archives.grid``
            makes one out of measures.
        num_inspirations: How many elites of other cells are shown at most, each alike.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].
        num_islands: Separate maps.
        migration_every: Answers of the whole search between two migrations.
        migration_share: Share of its elites, the highest scalars, that an island sends; one at least.

    Attributes:
        islands: The maps.

    Raises:
        ValueError: An option lies outside its range.
    """

    def __init__(
        self,
        vary: Vary,
        *,
        descriptor: Descriptor = strongest_two,
        num_inspirations: int = 1,
        iid_share: float = 0.25,
        num_islands: int = 4,
        migration_every: int = 250,
        migration_share: float = 0.1,
    ) -> None:
        if not callable(descriptor):
            raise ValueError(
                f"descriptor is {descriptor!r}, expected a function from a candidate to its cell: see archives.grid."
            )
        check_count("num_inspirations", num_inspirations, 0, "1 is the default.")
        check_share("iid_share", iid_share, IID_HINT)
        check_count("num_islands", num_islands, 1, "4 is the default.")
        check_count("migration_every", migration_every, 1, "a quarter of the budget of answers is a good choice.")
        check_share("migration_share", migration_share, "0.1 is the default.")
        self.descriptor, self.num_inspirations, self.iid_share = descriptor, num_inspirations, iid_share
        self.migration_every, self.migration_share = migration_every, migration_share
        self.islands = Islands((CellArchive(descriptor) for _ in range(num_islands)), migration_every)
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` requests: i.i.d. ones first, then varied elites."""
        settled = self.islands.settled()
        free = num_iid(self.iid_share, num, rng) if settled else num
        proposals = [iid_draw(len(self.islands), rng) for _ in range(free)]
        for _ in range(num - free):
            island = rng.choice(settled)
            elites = self.islands[island].elites
            parent, *shown = rng.sample(elites, min(1 + self.num_inspirations, len(elites)))
            proposals.append(varied(self._vary, parent, shown, rng, island))
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """Let every valid answer compete for its cell on the island of its proposal; migrate when it is time."""
        for result in results:
            if self.islands.admit(result) and len(self.islands) > 1:
                self._migrate()

    def _migrate(self) -> None:
        leaving = []
        for island in self.islands:
            best = sorted(island.elites, key=lambda elite: -elite.scalar)
            leaving.append(best[: max(1, round(self.migration_share * len(best)))])
        self.islands.pass_on(leaving)

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {
            "name": "map_elites",
            "descriptor": name_of(self.descriptor),
            "num_inspirations": self.num_inspirations,
            "iid_share": self.iid_share,
            "num_islands": len(self.islands),
            "migration_every": self.migration_every,
            "migration_share": self.migration_share,
        }
