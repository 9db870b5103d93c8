"""Several answers scored one by one, of which some cannot be: what was found of the others is not lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vpo.daemon_threads import DaemonThreads
from vpo.infrastructure import RETRIED, InfrastructureError

T = TypeVar("T")


def score_each(answers: Sequence[str], score: Callable[[int, str], T], workers: int = 1) -> list[T]:
    """Score answers, several at a time.

    Args:
        answers: What to score.
        score: Called with the place of an answer and the answer.
        workers: Threads; with one, the caller's own.

    Raises:
        InfrastructureError: Some could not be scored, through no fault of theirs; it holds what was found of the rest.
    """

    def tried(place: int, answer: str) -> Any:
        try:
            return score(place, answer)
        except RETRIED as error:
            return _Failed(error)

    if min(workers, len(answers)) <= 1:
        found = list(map(tried, range(len(answers)), answers))
    else:
        pool = DaemonThreads(min(workers, len(answers)), "scorer")
        try:
            found = list(pool.map(tried, range(len(answers)), answers))
        finally:  # Ctrl-C: what has not begun need not, and nobody waits for what has
            pool.shutdown(wait=False, cancel_futures=True)
    raise_failures(found, [each.error if isinstance(each, _Failed) else None for each in found])
    return found


def raise_failures(found: Sequence[Any], errors: Sequence[Exception | None]) -> None:
    """Raise the first of the errors, if there is one, together with what was found where there is none.

    Raises:
        InfrastructureError: There is one.
    """
    first = next((error for error in errors if error is not None), None)
    if first is not None:
        kept = [each if error is None else None for each, error in zip(found, errors, strict=True)]
        raise InfrastructureError(str(first), kept) from first


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error
