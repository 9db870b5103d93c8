"""Budgets that hold: worst case reserved before a request is sent, unused part given back when it returns.

A search that checks its budget after the fact overspends by whatever is in flight, and then two procedures are no
longer compared at the same cost. Here a request is only made if its worst case still fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from search.records import Prompt

_COUNTS = ("max_answers", "max_completion_tokens", "max_total_tokens")


@dataclass(frozen=True)
class Cost:
    """Answers evaluated (duplicates included), tokens generated (forced prefixes excluded), tokens read before them."""

    answers: int
    completion_tokens: int
    prompt_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.answers + other.answers,
            self.completion_tokens + other.completion_tokens,
            self.prompt_tokens + other.prompt_tokens,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.answers - other.answers,
            self.completion_tokens - other.completion_tokens,
            self.prompt_tokens - other.prompt_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one problem may cost. At least one limit is needed; the first that binds ends the search.

    Attributes:
        max_answers: Most answers, or None for no limit.
        max_completion_tokens: Most generated tokens, or None for no limit.
        max_total_tokens: Most tokens read and generated. The sampler counts a prompt (``count_tokens``).
            If it cannot, `prompt_bound` is reserved, which ends a search up to one request early.
        max_seconds: Wall time of the run, one clock for all problems, former sessions of a resumed run included.
            When it is over nothing more is sent; what is under way still counts. A clock is no part of a run's
            identity: a resumed run may be given more time.

    Raises:
        ValueError: No limit is given, or a limit is not positive.
    """

    max_answers: int | None = None
    max_completion_tokens: int | None = None
    max_total_tokens: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in (*_COUNTS, "max_seconds")):
            raise ValueError(
                "the budget has no limit, expected one at least: set max_answers, max_completion_tokens, "
                "max_total_tokens, max_seconds, or several of them."
            )
        for name in _COUNTS:
            limit = getattr(self, name)
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, int):
                raise ValueError(f"{name} is {limit!r}, expected a whole number: write 1000, not 1e3 or '1000'.")
            if limit < 1:
                raise ValueError(f"{name} is {limit}, expected at least 1: raise it, or leave it out for no limit.")
        seconds = self.max_seconds
        if seconds is None:
            return
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"max_seconds is {seconds!r}, expected a number of seconds: write 3600 for an hour.")
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(
                f"max_seconds is {seconds}, expected a finite number above 0: raise it, or leave it out for no limit."
            )

    def covers(self, cost: Cost) -> bool:
        """Whether ``cost`` stays within every limit but the time."""
        return (
            (self.max_answers is None or cost.answers <= self.max_answers)
            and (self.max_completion_tokens is None or cost.completion_tokens <= self.max_completion_tokens)
            and (self.max_total_tokens is None or cost.prompt_tokens + cost.completion_tokens <= self.max_total_tokens)
        )

    def share_spent(self, cost: Cost, seconds: float) -> float:
        """How much of the budget is gone, in [0, 1], by the limit that is nearest to its end."""
        used = [
            (cost.answers, self.max_answers),
            (cost.completion_tokens, self.max_completion_tokens),
            (cost.prompt_tokens + cost.completion_tokens, self.max_total_tokens),
            (seconds, self.max_seconds),
        ]
        return min(1.0, max(spent / limit for spent, limit in used if limit is not None))


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
        held = self.reserved + worst
        if not self.budget.covers(self.spent + held):
            return False
        self.reserved = held
        return True

    def release(self, worst: Cost) -> None:
        """Give back a reservation that was not used."""
        self.reserved = self.reserved - worst

    def settle(self, worst: Cost, actual: Cost) -> None:
        """Replace a reservation by what the request really cost.

        Prompt tokens are charged as the sampler counted them, even if that is more than was reserved: they cannot be
        bounded for certain by whoever does not own the chat template.

        Raises:
            ValueError: Answers or generated tokens exceed ``worst``, so their limits could no longer be kept.
        """
        if actual.answers > worst.answers or actual.completion_tokens > worst.completion_tokens:
            raise ValueError(
                f"a request cost {actual}, expected at most what was reserved for it, {worst}: "
                "the sampler must keep to max_new_tokens and parse() to num_answers."
            )
        self.release(worst)
        self.spent = self.spent + actual


CountTokens = Callable[[Prompt], int]
"""Tokens that a prompt takes, chat template included."""

_PER_MESSAGE = 16  # a chat template's marks and the role around one message
_PER_PROMPT = 256  # a system prompt that a template adds by itself, and the marks of the answer's beginning


def prompt_bound(prompt: Prompt) -> int:
    """Tokens that a prompt takes at most, for want of a tokenizer.

    Its bytes in UTF-8, as a byte-level vocabulary has no token below a byte, and room for a chat template. That is
    about four times the truth of English text.
    """
    if isinstance(prompt, str):
        return len(prompt.encode("utf-8", "surrogatepass")) + 1
    texts = (str(message.get("content", "")) for message in prompt)
    return sum(len(text.encode("utf-8", "surrogatepass")) + _PER_MESSAGE for text in texts) + _PER_PROMPT
