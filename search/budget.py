"""Budgets that hold: worst case reserved before a request is sent, unused part given back when it returns.

A search that checks its budget after the fact overspends by whatever is in flight, and then two procedures are no
longer compared at the same cost. Here a request is only made if its worst case still fits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Answers evaluated (duplicates included) and tokens generated (forced prefixes excluded)."""

    answers: int
    completion_tokens: int


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one problem may cost. At least one limit is needed; the first that binds ends the search.

    Attributes:
        max_answers: Most answers, or None for no limit.
        max_completion_tokens: Most generated tokens, or None for no limit.

    Raises:
        ValueError: No limit is given, or a limit is below 1.
    """

    max_answers: int | None = None
    max_completion_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.max_answers is None and self.max_completion_tokens is None:
            raise ValueError(
                "the budget has no limit, expected one at least: set max_answers, max_completion_tokens, or both."
            )
        for name in ("max_answers", "max_completion_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} is {limit}, expected at least 1: raise it, or leave it out for no limit.")

    def covers(self, cost: Cost) -> bool:
        """Whether ``cost`` stays within every limit."""
        return (self.max_answers is None or cost.answers <= self.max_answers) and (
            self.max_completion_tokens is None or cost.completion_tokens <= self.max_completion_tokens
        )


class Account:
    """Spending of one problem against its budget.

    Attributes:
        spent: What returned requests really cost.
        reserved: Worst case of the requests in flight.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = Cost(0, 0)
        self.reserved = Cost(0, 0)

    def reserve(self, worst: Cost) -> bool:
        """Set ``worst`` aside if it still fits.

        Returns:
            False, with nothing changed, if spent + reserved + worst would exceed the budget.
        """
        held = _plus(self.reserved, worst)
        if not self.budget.covers(_plus(self.spent, held)):
            return False
        self.reserved = held
        return True

    def release(self, worst: Cost) -> None:
        """Give back a reservation that was not used."""
        self.reserved = _minus(self.reserved, worst)

    def settle(self, worst: Cost, actual: Cost) -> None:
        """Replace a reservation by what the request really cost.

        Raises:
            ValueError: ``actual`` exceeds ``worst``, so the limit could no longer be kept.
        """
        if actual.answers > worst.answers or actual.completion_tokens > worst.completion_tokens:
            raise ValueError(
                f"a request cost {actual}, expected at most what was reserved for it, {worst}: "
                "the sampler must keep to max_new_tokens and parse() to num_answers."
            )
        self.release(worst)
        self.spent = _plus(self.spent, actual)


def _plus(a: Cost, b: Cost) -> Cost:
    return Cost(a.answers + b.answers, a.completion_tokens + b.completion_tokens)


def _minus(a: Cost, b: Cost) -> Cost:
    return Cost(a.answers - b.answers, a.completion_tokens - b.completion_tokens)
