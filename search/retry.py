"""When and how long to wait before a failed request is sent again.

Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015): the wait is drawn
from [0, limit], and the limit doubles. Without jitter, the requests that a server refused together come back together.
A server's Retry-After (RFC 9110, section 10.2.3) is a lower bound.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIED_STATUSES = frozenset({408, 409, 429})
"""HTTP statuses below 500 that may pass: a time-out, a conflict, too many requests. All from 500 may, too."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often and how patiently failed requests are sent again.

    Attributes:
        max_retries: Further attempts after the first; 0 gives up at once.
        first_s: Longest wait before the first retry, in seconds; it doubles from retry to retry.
        longest_s: Where it stops doubling.
        max_retry_after_s: A server that asks for more patience than this is given up.

    Raises:
        ValueError: A number is out of its range.
    """

    max_retries: int = 6
    first_s: float = 1.0
    longest_s: float = 60.0
    max_retry_after_s: float = 600.0

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries is {self.max_retries}, expected 0 or more: 0 gives up at once.")
        if not 0 <= self.first_s <= self.longest_s:
            raise ValueError(
                f"first_s is {self.first_s} and longest_s is {self.longest_s}, expected 0 <= first_s <= longest_s: "
                "use 1 and 60."
            )
        if not self.max_retry_after_s >= 0:
            raise ValueError(f"max_retry_after_s is {self.max_retry_after_s}, expected seconds: use 600.")

    def wait_s(self, attempt: int, retry_after_s: float | None, rng: random.Random) -> float | None:
        """Seconds to wait after the ``attempt``-th failure (from 0), or None to give up.

        Args:
            attempt: Failures before this one.
            retry_after_s: What the server asked for, if it did.
            rng: Draws the jitter.
        """
        if attempt >= self.max_retries:
            return None
        limit = min(self.longest_s, self.first_s * 2.0 ** min(attempt, 60))
        wait = rng.uniform(0, limit)
        if retry_after_s is None:
            return wait
        # Jitter on top, so that all who were told the same second do not come in it
        return None if retry_after_s > self.max_retry_after_s else retry_after_s + min(wait, self.first_s)


def may_pass(status: int) -> bool:
    """Whether a request that failed with this HTTP status may succeed later."""
    return status in RETRIED_STATUSES or status >= 500


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a response asks to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date.

    Args:
        headers: Of the response; looked up in lower case.
        now: The time; the clock's if None.

    Returns:
        Seconds from now, at least 0; None if the response asks for nothing, or for nothing that can be read.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
