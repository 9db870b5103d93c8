"""Evolution by lexicase selection, the default: parents by reward components in random order, partners that complement.

The population holds distinct reward vectors. A share of each batch comes from the bare prompt, which guards against a
collapsed population; the first batch is all i.i.d. Islands are populations of their own in a ring; now and then each
sends copies of the members that together cover most (the set reward of ``selection.complementary``) to the next one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal, get_args

from search.archives.signatures import SignaturePopulation
from search.procedures.islands import Islands
from search.procedures.options import check_choice, check_count, check_share
from search.procedures.proposing import IID_HINT, iid_draw, num_iid, varied
from search.procedures.protocol import Vary
from search.records import Candidate, Proposal, Result, Vector
from search.selection.cases import EPSILONS, Cases, Epsilon, sample_components
from search.selection.complementary import greedy_cover

Inspiration = Literal["complementary", "lexicase", "random"]


class LexicaseEvolution:
    """Islands of distinct reward vectors under lexicase selection.

    Args:
        vary: ``Problem.vary``, or any function like it. Where it gives None, the proposal is an i.i.d. draw.
        epsilon: Tolerance of the selection, for continuous rewards; see ``search.selection.cases``.
        down_sample: Share of the components that the picks of one ask look at, in (0, 1].
        inspiration: Whom a parent is shown with. "complementary": those who add most to the parent's
            E_w[max w . r], w at the corners of the simplex, and none who add nothing; "lexicase": further picks;
            "random": any members.
        num_inspirations: How many are shown at most.
        capacity: Most members of an island, None for no limit.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].
        num_islands: Separate populations.
        migration_every: Answers of the whole search between two migrations. A quarter of the budget is a good choice.
        num_migrants: Most members that an island sends.

    Attributes:
        islands: The populations.

    Raises:
        ValueError: An option lies outside its range.
    """

    def __init__(
        self,
        vary: Vary,
        *,
        epsilon: Epsilon = "none",
        down_sample: float = 1.0,
        inspiration: Inspiration = "complementary",
        num_inspirations: int = 1,
        capacity: int | None = 256,
        iid_share: float = 0.25,
        num_islands: int = 1,
        migration_every: int = 250,
        num_migrants: int = 4,
    ) -> None:
        check_choice("epsilon", epsilon, EPSILONS, "'none' is the default, 'semi-dynamic' suits continuous rewards.")
        check_share("down_sample", down_sample, "1.0 is the default.")
        if down_sample == 0:
            raise ValueError("down_sample is 0, expected a share above it: 1.0 looks at every component.")
        check_choice("inspiration", inspiration, get_args(Inspiration), "'complementary' is the default.")
        check_count("num_inspirations", num_inspirations, 0, "1 is the default.")
        if capacity is not None:
            check_count("capacity", capacity, 1, "256 is the default, None sets no limit.")
        check_share("iid_share", iid_share, IID_HINT)
        check_count("num_islands", num_islands, 1, "1 is the default.")
        check_count("migration_every", migration_every, 1, "a quarter of the budget of answers is a good choice.")
        check_count("num_migrants", num_migrants, 0, "4 is the default.")
        self.epsilon, self.down_sample = epsilon, down_sample
        self.inspiration, self.num_inspirations = inspiration, num_inspirations
        self.capacity, self.iid_share = capacity, iid_share
        self.migration_every, self.num_migrants = migration_every, num_migrants
        self.islands = Islands((SignaturePopulation(capacity) for _ in range(num_islands)), migration_every)
        self._cases: list[Cases | None] = [None] * num_islands  # of each island, as it is now
        self._vary = vary

    @property
    def population(self) -> dict[Vector, Candidate]:
        """Reward vector -> its representative; all islands together, the first island that has the vector."""
        members = (member for island in reversed(self.islands) for member in island.members)
        return {member.vector: member for member in members}

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` requests: i.i.d. ones first, then varied parents."""
        settled = self.islands.settled()
        if not settled:
            return [iid_draw(len(self.islands), rng) for _ in range(num)]
        free = num_iid(self.iid_share, num, rng)
        proposals = [iid_draw(len(self.islands), rng) for _ in range(free)]
        components = sample_components(len(self.islands[settled[0]].columns), self.down_sample, rng)
        for _ in range(num - free):
            island = rng.choice(settled) if len(settled) > 1 else settled[0]
            members, cases = self.islands[island].members, self._cases[island]
            assert cases is not None  # as there are members
            parent = cases.pick(rng, components)
            shown = [members[index] for index in self._inspirations(island, cases, parent, components, rng)]
            proposals.append(varied(self._vary, members[parent], shown, rng, island))
        return proposals

    def _inspirations(
        self, island: int, cases: Cases, parent: int, components: Sequence[int], rng: random.Random
    ) -> list[int]:
        population = self.islands[island]
        num = min(self.num_inspirations, len(population) - 1)
        if num == 0:
            return []
        if self.inspiration == "complementary":
            return greedy_cover(population.columns, [parent], num, rng)
        if self.inspiration == "lexicase":
            picks = (cases.pick(rng, components) for _ in range(num))
            return [index for index in dict.fromkeys(picks) if index != parent]
        # One index is left out: those from the parent's on move up by one
        return [index + (index >= parent) for index in rng.sample(range(len(population) - 1), num)]

    def tell(self, results: Sequence[Result]) -> None:
        """Admit every valid answer to the island of its proposal; migrate when it is time."""
        for result in results:
            if self.islands.admit(result) and len(self.islands) > 1:
                self._migrate()
        # Here, because ask() must not change the state
        self._cases = [Cases.of(island.columns, self.epsilon) if len(island) else None for island in self.islands]

    def _migrate(self) -> None:
        leaving = [
            [island.members[i] for i in greedy_cover(island.columns, [], self.num_migrants)] if len(island) else []
            for island in self.islands
        ]
        self.islands.pass_on(leaving)

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {
            "name": "lexicase",
            "epsilon": self.epsilon,
            "down_sample": self.down_sample,
            "inspiration": self.inspiration,
            "num_inspirations": self.num_inspirations,
            "capacity": self.capacity,
            "iid_share": self.iid_share,
            "num_islands": len(self.islands),
            "migration_every": self.migration_every,
            "num_migrants": self.num_migrants,
        }
