"""The smallest evolution on reward vectors: lexicase parents, no inspirations, one unlimited population."""

from __future__ import annotations

from typing import Any

from search.procedures.lexicase_evolution import LexicaseEvolution
from search.procedures.protocol import Vary


class Evolution(LexicaseEvolution):
    """Lexicase evolution for tasks that vary one parent alone, as ``mutation_prefix`` of a vpo task does.

    Args:
        vary: ``Problem.vary``, or any function like it. Where it gives None, the proposal is an i.i.d. draw.
        iid_share: Share of each batch drawn from the bare prompt, in [0, 1].

    Raises:
        ValueError: ``iid_share`` lies outside [0, 1].
    """

    def __init__(self, vary: Vary, *, iid_share: float = 0.25) -> None:
        super().__init__(vary, iid_share=iid_share, num_inspirations=0, capacity=None)

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "evolution", "selection": "lexicase", "iid_share": self.iid_share}
