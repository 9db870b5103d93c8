"""Evidence without a search: decisions and rewards as a test draws them, one component."""

from __future__ import annotations

from search.outcomes import Judged
from search.records import Evaluation
from search.screening.decisions import Decision
from search.screening.trial import Trial


def begun(trial: Trial, best: float = 1.0) -> Trial:
    """A trial that knows two answers, the best of which earned ``best``."""
    trial.take((), [earned("first", best), earned("second", best - 1)])
    return trial


def earned(name: str, reward: float, status: str = "ok") -> Judged:
    return Judged(name, name, Evaluation(vector=(reward,), status=status), reward)


def tell(trial: Trial, reward: float, verdict: str, merit: float = 0.0) -> None:
    """One more answer, decided upon by the screen as it stands."""
    decision = decided(f"answer {trial.num_told}", verdict, trial.on, trial.period, merit)
    trial.take((decision,), (earned(decision.key, reward),) if decision.evaluated else ())


def decided(name: str, verdict: str, on: bool, period: int = 0, merit: float = 0.0) -> Decision:
    state = {"verdict": verdict, "on": on, "period": period}
    return Decision(answer=name, key=name, mean=(merit,), spread=None, merit=merit, bar=0.0, **state)
