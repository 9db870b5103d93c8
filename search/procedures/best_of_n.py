"""Best of n independent draws: the floor that every other procedure has to beat at the same budget."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from search.records import Proposal, Result


class BestOfN:
    """Independent draws from the bare prompt."""

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` draws from the bare prompt."""
        return [Proposal() for _ in range(num)]

    def tell(self, results: Sequence[Result]) -> None:
        """Nothing to learn: the draws are independent."""

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "best_of_n"}
