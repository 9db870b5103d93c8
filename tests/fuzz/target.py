"""A target of the fuzzing: inputs of one border, and what must hold of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        border: "yaml", "checkpoints", "ledgers" or "http".
        name: Of the target.
        inputs: Makes the strategy of its inputs.
        check: Gives one to the border; raises if something does not hold.
        quick: Examples in `make test`.
    """

    border: str
    name: str
    inputs: Callable[[], SearchStrategy[Any]]
    check: Callable[[Any], None]
    quick: int = 40
