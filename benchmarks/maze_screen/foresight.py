"""What foresees: world models, and controls whose worth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maze_screen.mazes import CountedMaze
from search.screening.predictor import Array
from search.seeds import stable_hash
from vpo.looped.world import LoopedWorldModel, WorldModelPredictor


class Remembered(WorldModelPredictor):
    """The predictor of `vpo.looped.world`; what was rolled out in a maze is kept, for all arms of a comparison.

    Args:
        model: One model.
        row: Of the maze.
    """

    def __init__(self, model: LoopedWorldModel, row: dict[str, Any]) -> None:
        super().__init__(model)
        self._row, self._known = row, dict[str, np.ndarray]()

    def foresee(self, answers: Sequence[str]) -> np.ndarray:
        """(N, D), rolled out together where they are new."""
        new = [answer for answer in dict.fromkeys(answers) if answer not in self._known]
        if new:
            self._known.update(zip(new, super().predict(self._row, new)[0].double().numpy(), strict=True))
        return np.array([self._known[answer] for answer in answers])


class Foresight:
    """A predictor of the screen around any function of answers.

    Args:
        views: Each (answers) -> (N, D); of several the mean is taken, and their disagreement is the spread.
    """

    def __init__(self, *views: Callable[[Sequence[str]], np.ndarray]) -> None:
        self.views = views

    def predict(self, problem: Any, candidates: Sequence[str]) -> tuple[Array, Array | None]:
        found = np.array([view(candidates) for view in self.views])
        return found.mean(0), found.std(0) if len(found) > 1 else None

    def update(self, problem: Any, candidates: Sequence[str], rewards: Array) -> None:
        pass


class AnotherAnswer(Foresight):
    """Foresees of an answer what the model foresees of one that was told: right values, at the wrong answers."""

    def __init__(self, view: Callable[[Sequence[str]], np.ndarray]) -> None:
        super().__init__(lambda answers: view([self._told[stable_hash(a) % len(self._told)] for a in answers]))
        self._told: list[str] = []

    def update(self, problem: Any, candidates: Sequence[str], rewards: Array) -> None:
        self._told += candidates


@dataclass(frozen=True)
class Views:
    """What the predictors of one maze and seed are made from.

    Args:
        own: Kind of model -> that of this seed.
        others: Looped models of the other seeds.
        elsewhere: The looped model, asked about another maze.
    """

    own: dict[str, Remembered]
    others: tuple[Remembered, ...]
    elsewhere: Remembered


def real(problem: CountedMaze) -> Callable[[Sequence[str]], np.ndarray]:
    return lambda answers: np.array([problem.score(answer) for answer in answers])


def arrival(problem: CountedMaze) -> Callable[[Sequence[str]], np.ndarray]:
    """Whether a route arrives, and nothing of what it collects."""
    return lambda answers: real(problem)(answers) * np.array([1.0, 0.0, 0.0, 0.0])


Make = Callable[[CountedMaze, Views], Foresight]
MODELS: dict[str, Make] = {
    "looped": lambda problem, views: Foresight(views.own["looped"].foresee),
    "one loop": lambda problem, views: Foresight(views.own["one loop"].foresee),
    "ensemble": lambda problem, views: Foresight(*(m.foresee for m in (views.own["looped"], *views.others))),
    "untrained": lambda problem, views: Foresight(views.own["untrained"].foresee),
    "reverse": lambda problem, views: Foresight(lambda answers: -views.own["looped"].foresee(answers)),
    "another answer": lambda problem, views: AnotherAnswer(views.own["looped"].foresee),
    "another maze": lambda problem, views: Foresight(views.elsewhere.foresee),
    "arrival alone": lambda problem, views: Foresight(arrival(problem)),
    "oracle": lambda problem, views: Foresight(real(problem)),
}
READY = {"trusted": True, "warm_up": 2}  # a predictor that was tested need not wait
