"""What to do when evaluation or sampling failed through no fault of an answer: wait, try again, and at last give up.

Tried again is what failed alone: answers that a failed try did evaluate are kept, in the ledger too (``partial``
rows), so they are not evaluated twice, whatever happens during the wait. What failed writes no row, and leaves no trace
in what is told, so a search in order stays a function of its seed.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from search.retry import Backoff

if TYPE_CHECKING:
    from search.evaluator_pool import Tried
    from search.journal import Journal
    from search.problem_run import ProblemRun

logger = logging.getLogger(__name__)


class GaveUpError(RuntimeError):
    """Something failed too often; what is in the ledger is kept, and the run can be resumed."""


class Patience:
    """Counts the failures of one piece of work.

    Args:
        backoff: How often and how patiently it is tried again.
        what: Names it in messages.
    """

    def __init__(self, backoff: Backoff, what: str) -> None:
        self._backoff, self._what, self._num_failed = backoff, what, 0
        self._jitter = random.Random()  # of waits alone

    def wait_s(self, error: Exception) -> float:
        """Seconds to wait after one more failure.

        Raises:
            GaveUpError: There were too many.
        """
        wait = self._backoff.wait_s(self._num_failed, None, self._jitter)
        self._num_failed += 1
        said = f"{type(error).__name__}: {error}"
        if wait is None:
            raise GaveUpError(
                f"{self._what} failed {self._num_failed} times through no fault of the answers, the last time with "
                f"{said} Expected it to work again by then: look at what failed, or be more patient (retry)."
            ) from error
        left = self._backoff.max_retries - self._num_failed
        logger.warning(f"{self._what} failed ({said}); trying again in {wait:.1f} s, {left} times more at most")
        return wait


def take(run: ProblemRun, journal: Journal, asked: Mapping[str, str], tried: Tried) -> dict[str, str]:
    """Keep what a try found.

    Args:
        run: The problem.
        journal: Where answers are written down whose completion has others that are not evaluated yet.
        asked: Key -> answer, as it was tried.
        tried: What came of it.

    Returns:
        Those of ``asked`` that are to be tried again.
    """
    if tried.error is None:
        run.evaluations.store(list(asked), [each for each in tried.found if each is not None])
        return {}
    known = {key: each for key, each in zip(asked, tried.found, strict=True) if each is not None}
    if known:
        run.evaluations.store(list(known), list(known.values()))
        journal.write_partial(run, run.evaluations.judged([(asked[key], key) for key in known]))
    return {key: answer for key, answer in asked.items() if key not in known}
