"""Where a run stands: best so far, what was spent, and how long it may still take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from search.budget import Budget
from search.journal import Journal
from search.problem_run import ProblemRun

_EVERY_S = 0.1


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        round: Rounds done; in a stream, completions evaluated in this session.
        num_problems: Problems in the run.
        num_finished: Problems whose search has ended.
        num_answers: Charged answers, all problems.
        completion_tokens: Generated tokens, all problems.
        mean_best: Mean over problems of the best scalar so far; a problem without an answer counts 0.
        num_replayed: Completions that came from the ledger: of this round; in a stream, of all.
        num_solved: Problems with an answer that reached the target.
        prompt_tokens: Tokens read, all problems.
        best: Best scalar of any problem; None before the first answer.
        num_in_flight: Requests at the sampler; 0 between rounds.
        seconds: Wall time of the run, former sessions included.
        share_spent: How much of the budgets is gone, in [0, 1]: mean over problems; a finished problem counts 1.
        num_dropped: Answers that a screen kept from evaluation, all problems.
        num_screening: Problems whose screen is on.
        switched: Of screens that were switched, what the last one said and did; empty if none was.
        seconds_left: Time that the rest of the budgets takes at the pace of this session, None while that is unknown.
    """

    round: int
    num_problems: int
    num_finished: int
    num_answers: int
    completion_tokens: int
    mean_best: float
    num_replayed: int
    num_solved: int = 0
    prompt_tokens: int = 0
    best: float | None = None
    num_in_flight: int = 0
    seconds: float = 0.0
    share_spent: float = 0.0
    seconds_left: float | None = None
    num_dropped: int = 0
    num_screening: int = 0
    switched: str = ""


class Reporter:
    """Calls a user's function with the progress of a run.

    Args:
        runs: The problems.
        budget: Of each problem.
        journal: Knows the time.
        callback: The user's function, None for no reports.
    """

    def __init__(
        self,
        runs: Sequence[ProblemRun],
        budget: Budget,
        journal: Journal,
        callback: Callable[[Progress], None] | None,
    ) -> None:
        self._runs, self._budget, self._journal, self._callback = runs, budget, journal, callback
        self._first: tuple[float, float] | None = None  # share and time at the first report: the pace counts from there
        self._num_switches: dict[str, int] = {}  # seen, by problem id
        self._switched = ""
        self._num_told = 0
        self._last_s = 0.0

    def round_done(self, rounds: int, num_replayed: int) -> None:
        """Report a round."""
        if self._callback is not None:
            self._callback(self._progress(rounds, num_replayed, 0))

    def told(self, num_in_flight: int) -> None:
        """Report a completion of a stream, at most ten times a second: a report looks at every problem."""
        self._num_told += 1
        if self._callback is None:
            return
        now = self._journal.session_s()
        if now - self._last_s >= _EVERY_S or self._num_told == 1:
            self._last_s = now
            self.stream_stands(num_in_flight)

    def stream_stands(self, num_in_flight: int = 0) -> None:
        """Report a stream now."""
        if self._callback is not None:
            self._callback(self._progress(self._num_told, self._journal.num_found, num_in_flight))

    def _progress(self, rounds: int, num_replayed: int, num_in_flight: int) -> Progress:
        runs, seconds = self._runs, self._journal.elapsed()
        best = [run.best for run in runs if run.best is not None]
        shares = [1.0 if run.finished else self._budget.share_spent(run.account.spent, seconds) for run in runs]
        share = sum(shares) / len(runs)
        self._first = self._first or (share, seconds)
        return Progress(
            round=rounds,
            num_problems=len(runs),
            num_finished=sum(run.finished for run in runs),
            num_answers=sum(run.account.spent.answers for run in runs),
            completion_tokens=sum(run.account.spent.completion_tokens for run in runs),
            mean_best=sum(best) / len(runs),
            num_replayed=num_replayed,
            num_solved=sum(run.solved for run in runs),
            prompt_tokens=sum(run.account.spent.prompt_tokens for run in runs),
            best=max(best, default=None),
            num_in_flight=num_in_flight,
            seconds=seconds,
            share_spent=share,
            seconds_left=self._seconds_left(share, seconds),
            **self._screening(),
        )

    def _screening(self) -> dict[str, Any]:
        screens = [(run, run.screen) for run in self._runs if run.screen is not None]
        for run, screen in screens:
            for switch in screen.trial.switches[self._num_switches.get(run.problem.id, 0) :]:
                self._switched = f"screen of {run.problem.id} switched {'on' if switch.on else 'off'}: {switch.reason}"
            self._num_switches[run.problem.id] = len(screen.trial.switches)
        return {
            "num_dropped": sum(run.num_dropped for run, _ in screens),
            "num_screening": sum(screen.trial.on for _, screen in screens),
            "switched": self._switched,
        }

    def _seconds_left(self, share: float, seconds: float) -> float | None:
        before, since = self._first or (share, seconds)
        if share >= 1:
            return 0.0
        if share <= before:
            return None
        left = (1 - share) / (share - before) * (seconds - since)
        most = self._budget.max_seconds
        return left if most is None else min(left, max(0.0, most - seconds))
