"""What a screen needs of a model of the evaluator: rewards foreseen for answers, and learning from real ones.

A predictor belongs to one problem of one run. Its state is a fold over the updates, which the ledger holds: nothing of
it is saved, a resumed run makes it anew and tells it the same again. So a prediction must be a function of the updates
before it and of the answers, whatever was predicted in between. Letters: N answers, D components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.problem import Problem

Array = NDArray[np.float64]


class RewardPredictor(Protocol):
    """A model of a problem's evaluator."""

    def predict(self, problem: Problem, candidates: Sequence[str]) -> tuple[ArrayLike, ArrayLike | None]:
        """Foresee the rewards of answers that were not evaluated.

        Args:
            problem: The problem.
            candidates: N answers.

        Returns:
            (N, D) expected rewards, and (N, D) standard deviations of what will be found around them; None in their
            place if the predictor cannot say.
        """
        ...

    def update(self, problem: Problem, candidates: Sequence[str], rewards: Array) -> None:
        """Learn what answers really earned.

        Args:
            problem: The problem.
            candidates: N distinct answers, none of which was told before.
            rewards: (N, D).
        """
        ...


def checked_prediction(
    predictor: RewardPredictor, problem: Problem, candidates: Sequence[str], num_components: int
) -> tuple[Array, Array | None]:
    """Ask a predictor, and hold it to its contract.

    Args:
        predictor: The predictor.
        problem: The problem.
        candidates: N answers.
        num_components: D.

    Returns:
        (N, D) means and (N, D) spreads or None.

    Raises:
        ValueError: A shape is another, a number is not finite, or a spread is negative.
    """
    mean, spread = predictor.predict(problem, candidates)
    wanted = (len(candidates), num_components)
    arrays = [np.asarray(each, dtype=np.float64) for each in ((mean,) if spread is None else (mean, spread))]
    for name, array in zip(("mean", "spread"), arrays, strict=False):
        if array.shape != wanted or not np.isfinite(array).all() or (name == "spread" and (array < 0).any()):
            what = f"shape {array.shape}" if array.shape != wanted else "a number that is not finite, or negative"
            raise ValueError(
                f"{type(predictor).__name__}.predict gave a {name} with {what} for problem {problem.id!r}, expected "
                f"{wanted}, one finite number for each answer and component (a spread of 0 at least): mend predict()."
            )
    return arrays[0], (arrays[1] if len(arrays) > 1 else None)
