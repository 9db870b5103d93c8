"""The screen of one problem: foresees what new answers earn, and says which are evaluated.

An answer's merit is the lead that it may have over the best so far under some weighting, taken at an optimistic end of
what is foreseen. It is kept if its merit is among the highest of the answers told last, as many as the stated share.
All of it is a function of what was told when the request was asked for, and the audit's draws are hashes of the seed
and the request's number; so a search in order stays a function of its seed, and a resumed one decides in the same way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

import numpy as np

from search.outcomes import Outcome
from search.problem import Problem
from search.screening.decisions import Decision, Switch, Verdict
from search.screening.front import Array
from search.screening.predictor import RewardPredictor, checked_prediction
from search.screening.registry import make_predictor
from search.screening.rules import Screening
from search.screening.trial import Trial
from search.seeds import stable_hash

_WINDOW = 64  # told answers that merits are compared with
_LEAST = 8  # before there are so many, everything is kept
_STEP = 0.02  # by which the level moves towards the share with every decision
_ERRORS = 256  # of past predictions


class Screen:
    """Decides for one problem.

    Args:
        rules: See `Screening`.
        problem: The problem.
        run_seed: Seed of the run.

    Attributes:
        rules: As given.
        trial: The evidence, up to what the last decision knew.
    """

    def __init__(self, rules: Screening, problem: Problem, run_seed: int) -> None:
        self.rules, self.trial = rules, new_trial(rules, problem.id, run_seed)
        self._problem, self._run_seed = problem, run_seed
        self._predictor: RewardPredictor | None = None
        self._told: list[Outcome] = []
        self._num_known = self._num_seen = 0
        self._known: set[str] = set()  # keys of evaluated answers among them
        self._lowest: Array | None = None  # (D,) of valid answers
        self._window: deque[tuple[Array, Array]] = deque(maxlen=_WINDOW)  # (mean, spread)
        self._errors: deque[Array] = deque(maxlen=_ERRORS)  # (D,), in spreads
        self._level = rules.share
        self._yardstick: tuple[Array | float, float] | None = None  # what is added to predictions, and the bar

    def told(self, outcome: Outcome) -> None:
        """Note a result that was told."""
        self._told.append(outcome)

    def sift(
        self, number: int, num_told: int, answers: Sequence[tuple[str, str]]
    ) -> tuple[list[tuple[str, str]], tuple[Decision, ...]]:
        """Decide which answers of a completion are evaluated.

        Args:
            number: Of the request.
            num_told: Results that were told when it was asked for; no fewer than at the call before.
            answers: (answer, key) of the completion.

        Returns:
            Those that are evaluated, or were before, and the decisions on new ones.

        Raises:
            ValueError: The predictor breaks its contract.
        """
        self.learn(num_told)
        new = {key: answer for answer, key in answers if key not in self._known}
        if not new or len(self._known) < self.rules.warm_up or self._lowest is None:
            return list(answers), ()
        assert self._predictor is not None
        mean, spread = checked_prediction(self._predictor, self._problem, list(new.values()), len(self._lowest))
        mean, spread = _plain(mean), None if spread is None else _plain(spread)
        if self._yardstick is None:
            lifts = self._lifts()
            self._yardstick = (lifts, self._bar(lifts))
        lifts, bar = self._yardstick
        merits = self._merits(mean + lifts * (1.0 if spread is None else spread))
        rng = random.Random(stable_hash("audit", self._run_seed, self._problem.id, number))
        decisions = {
            key: Decision(
                answer=answer,
                key=key,
                verdict=self._verdict(merits[i], bar, rng),
                on=self.trial.on,
                period=self.trial.period,
                mean=tuple(mean[i].tolist()),
                spread=None if spread is None else tuple(spread[i].tolist()),
                merit=float(merits[i]),
                bar=bar,
            )
            for i, (key, answer) in enumerate(new.items())
        }
        kept = [(answer, key) for answer, key in answers if key not in decisions or decisions[key].evaluated]
        return kept, tuple(decisions.values())

    def learn(self, num_told: int | None = None) -> None:
        """Take in what was told, up to a number of results; all of it by default."""
        until = len(self._told) if num_told is None else num_told
        if until > self._num_known:
            self._yardstick = None
        for outcome in self._told[self._num_known : until]:
            self._take(outcome)
            self._num_known += 1

    def fresh_switches(self) -> list[Switch]:
        """Switches since the last call."""
        fresh = self.trial.switches[self._num_seen :]
        self._num_seen += len(fresh)
        return fresh

    def _take(self, outcome: Outcome) -> None:
        found = {judged.key: judged for judged in outcome.answers}
        for each in outcome.decisions:
            mean, spread = np.array(each.mean), np.array(each.spread or (1.0,) * len(each.mean))
            self._window.append((mean, spread))
            if each.on:
                self._level = min(0.99, max(0.01, self._level + _STEP * (self.rules.share - (each.verdict == "keep"))))
            if each.evaluated and found[each.key].evaluation.status == "ok":
                self._errors.append((np.array(found[each.key].evaluation.vector) - mean) / np.maximum(spread, 1e-12))
        fresh = [judged for key, judged in found.items() if key not in self._known]
        valid = [each.evaluation.vector for each in fresh if each.evaluation.status == "ok"]
        if valid:
            lowest = np.min(np.array(valid), axis=0)
            self._lowest = lowest if self._lowest is None else np.minimum(lowest, self._lowest)
        if fresh and self._lowest is not None:
            # What is no solution is no better than the worst solution, whatever its floor is
            vectors = [np.asarray(each.evaluation.vector, dtype=np.float64) for each in fresh]
            rewards = [
                vector if each.evaluation.status == "ok" else np.minimum(vector, self._lowest)
                for each, vector in zip(fresh, vectors, strict=True)
            ]
            self._predictor = self._predictor or make_predictor(self.rules, self._problem)
            self._predictor.update(self._problem, [each.answer for each in fresh], np.array(rewards))
        self._known.update(each.key for each in fresh)
        self.trial.take(outcome.decisions, outcome.answers)

    def _verdict(self, merit: float, bar: float, rng: random.Random) -> Verdict:
        draw = rng.random()  # always, so that an answer's draw does not depend on the verdict on the one before it
        if merit >= bar:
            return "keep"
        return "audit" if self.trial.on and draw < self.rules.audit else "drop"

    def _lifts(self) -> Array | float:
        """(D,) spreads by which predictions are raised: a quantile of past errors, one-sided split conformal."""
        if len(self._errors) < _LEAST:
            return 1.0
        lifts: Array = np.quantile(np.array(self._errors), self.rules.optimism, axis=0)
        return lifts

    def _merits(self, vectors: Array) -> Array:
        scalars = np.array([self._problem.scalar(tuple(vector.tolist())) for vector in vectors])
        return self.trial.front.leads(vectors, scalars)

    def _bar(self, lifts: Array | float) -> float:
        if len(self._window) < _LEAST:
            return -1e300  # everything is kept; no infinity, which is no JSON
        merits = self._merits(np.array([mean + lifts * spread for mean, spread in self._window]))
        return float(np.quantile(merits, 1 - self._level))


def new_trial(rules: Screening, problem_id: str, run_seed: int) -> Trial:
    """The evidence on a problem before anything is told."""
    return Trial(rules, stable_hash("screen", run_seed, problem_id))


def _plain(array: Array) -> Array:
    """Six significant digits: what the ledger holds is what was decided upon."""
    return np.array([[float(f"{value:.6g}") for value in row] for row in array])
