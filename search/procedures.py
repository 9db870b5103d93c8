"""Search procedures as pure ask/tell state machines: they see no file, no model and no clock.

``ask`` only reads the state; ``tell`` alone changes it. So the state is a fold over what was told, a ledger replays it
exactly, and every procedure runs on every sampler under the same budget. Left out so far: islands, epsilon-lexicase,
inspirations in the prompt, tree search.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from search.problem import Problem
from search.records import Candidate, Proposal, Result, Variation, Vector
from search.selection import lexicase

Vary = Callable[[Candidate, Sequence[Candidate], random.Random], Variation | None]
"""Parent and inspirations -> how the policy is asked to vary them; None if the parent cannot be varied."""


class Procedure(Protocol):
    """Decides what is sampled next from what was found so far."""

    def ask(self, num: int, rng: random.Random) -> list[Proposal]:
        """Propose at most ``num`` requests; none at all ends the search. Must not change the state."""
        ...

    def tell(self, results: Sequence[Result]) -> None:
        """Learn from results, which come in the order of their numbers."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name and settings, JSON-able: part of the identity of a run."""
        ...


class BestOfN:
    """Independent draws from the bare prompt: the floor that every other procedure has to beat."""

    def ask(self, num: int, rng: random.Random) -> list[Proposal]:
        """Propose ``num`` draws from the bare prompt."""
        return [Proposal() for _ in range(num)]

    def tell(self, results: Sequence[Result]) -> None:
        """Nothing to learn: the draws are independent."""

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "best_of_n"}


class Evolution:
    """A small evolutionary loop on reward vectors.

    The population holds one candidate for each distinct reward vector seen so far; the shorter answer represents it,
    the earlier one if they tie. A parent is picked by lexicase selection and varied by ``vary``; a share of each
    batch comes from the bare prompt, which guards against a collapsed population. The first batch is all i.i.d.

    Args:
        vary: ``Problem.vary``, or any function like it. Where it gives None, the proposal is an i.i.d. draw.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].

    Attributes:
        population: Reward vector -> its representative, in order of first appearance.

    Raises:
        ValueError: ``iid_share`` lies outside [0, 1].
    """

    def __init__(self, vary: Vary, *, iid_share: float = 0.25) -> None:
        if not 0 <= iid_share <= 1:
            raise ValueError(f"iid_share is {iid_share}, expected a share in [0, 1]: 0.25 is the default.")
        self.iid_share = iid_share
        self.population: dict[Vector, Candidate] = {}
        self._vary = vary

    def ask(self, num: int, rng: random.Random) -> list[Proposal]:
        """Propose ``num`` requests: i.i.d. ones first, then varied parents."""
        if not self.population:
            return [Proposal() for _ in range(num)]
        # Random rounding: the share is kept on average even if the budget leaves batches of one request
        num_iid = min(num, int(self.iid_share * num + rng.random()))
        members = list(self.population.values())
        vectors = [member.vector for member in members]
        proposals = [Proposal() for _ in range(num_iid)]
        for _ in range(num - num_iid):
            parent = members[lexicase(vectors, rng)]
            how = self._vary(parent, (), rng)
            # A variation that forces and shows nothing is an i.i.d. draw, whatever its parent was
            proposals.append(
                Proposal(parents=(parent.id,), prefix=how.prefix, prompt=how.prompt)
                if how is not None and how != Variation()
                else Proposal()
            )
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """Admit every answer with a new reward vector, or a shorter answer for a known one."""
        for result in results:
            for candidate in result.candidates:
                if candidate.status != "ok":
                    continue
                incumbent = self.population.get(candidate.vector)
                if incumbent is None or len(candidate.answer) < len(incumbent.answer):
                    self.population[candidate.vector] = candidate

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "evolution", "selection": "lexicase", "iid_share": self.iid_share}


def get_procedure(name: str, problem: Problem, **options: Any) -> Procedure:
    """A new procedure for one problem, by name.

    Args:
        name: "best_of_n" or "evolution".
        problem: What it searches on.
        **options: Of the procedure.

    Raises:
        ValueError: No procedure has that name, or it has no such option.
    """
    if name not in PROCEDURES:
        raise ValueError(f"there is no procedure {name!r}: expected one of {', '.join(PROCEDURES)}.")
    try:
        return PROCEDURES[name](problem, **options)
    except TypeError as error:
        raise ValueError(f"procedure {name!r} has not these options: {error}. Leave them out.") from error


def _evolution(problem: Problem, **options: Any) -> Evolution:
    return Evolution(problem.vary, **options)


def _best_of_n(problem: Problem, **options: Any) -> BestOfN:
    return BestOfN(**options)


PROCEDURES: dict[str, Callable[..., Procedure]] = {"best_of_n": _best_of_n, "evolution": _evolution}
