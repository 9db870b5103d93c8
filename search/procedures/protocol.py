"""What a procedure is: a pure ask/tell state machine that sees no file, no model and no clock.

``ask`` only reads the state; ``tell`` alone changes it. So the state is a fold over what was told, a ledger replays it
exactly, and every procedure runs on every sampler under the same budget. All chance comes from the generator that is
passed to ``ask``; ``tell`` has none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from search.records import Candidate, Proposal, Result, Variation

Vary = Callable[[Candidate, Sequence[Candidate], random.Random], Variation | None]
"""Parent and inspirations -> how the policy is asked to vary them; None if the parent cannot be varied."""


class Procedure(Protocol):
    """Decides what is sampled next from what was found so far."""

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose at most ``num`` requests; none at all ends the search. Must not change the state.

        Args:
            num: How many requests there is room for.
            rng: The only source of chance.
            pending: Proposals of earlier asks whose results have not been told yet, oldest first. A driver that tells
                each round before it asks again has none. Procedures that keep count (beam, PUCT) spread over what is
                not on its way yet; the others draw by chance anyhow and need not know.
        """
        ...

    def tell(self, results: Sequence[Result]) -> None:
        """Learn from results, which come in the order of their numbers."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name and settings, JSON-able: part of the identity of a run."""
        ...
