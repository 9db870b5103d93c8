"""What counts as correct, chosen once: a component of the reward vector, with a threshold where it is not 0 or 1."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.samples import Samples

_SPEC = re.compile(r"(?P<name>.+?)\s*(?:>=\s*(?P<threshold>[-+0-9.eE]+))?")
_LIKELY = re.compile(r"correct|accura|solved|pass(?:ed)?\b|exact_match", re.IGNORECASE)


@dataclass(frozen=True)
class Correctness:
    """A component that says whether a sample is correct.

    Attributes:
        component: Its name.
        threshold: Correct from this value on; None for a component of zeros and ones.
    """

    component: str
    threshold: float | None = None

    @property
    def words(self) -> str:
        """Such as ``correct >= 0.5``."""
        return self.component if self.threshold is None else f"{self.component} >= {self.threshold:g}"

    def of(self, samples: Samples) -> NDArray[np.float64]:
        """(N,) 1 or 0; NaN where the component does not apply. All 0 where no component is known yet.

        That is so in a rollout log until the first answer can be read: up to then none was correct.

        Raises:
            ValueError: The samples lack the component, or it has other values than 0 and 1 and there is no threshold.
        """
        if not samples.components:
            return np.zeros(len(samples))
        if self.component not in samples.components:
            raise ValueError(
                f"step {samples.step} has no component {self.component!r}: expected one of "
                f"{list(samples.components)}. Name the one that says whether a sample is correct, or None."
            )
        values = samples.rewards[:, samples.components.index(self.component)]
        known = ~np.isnan(values)
        if self.threshold is not None:
            return np.where(known, values >= self.threshold, np.nan)
        if not np.isin(values[known], (0.0, 1.0)).all():
            odd = float(values[known][~np.isin(values[known], (0.0, 1.0))][0])
            raise ValueError(
                f"step {samples.step}: component {self.component!r} has the value {odd:g}, expected 0 or 1 for wrong "
                f"or correct. Give a threshold, as {self.component!r} >= 0.5: '{self.component}>=0.5'."
            )
        return values


def choose(spec: str | None, samples: Samples) -> tuple[Correctness | None, str]:
    """Settle what counts as correct.

    Args:
        spec: ``name`` or ``name>=threshold``; None chooses a component of zeros and ones, if just one comes into
            question: the only one, or the only one whose name says so.
        samples: The first that there are.

    Returns:
        The choice, and a sentence about it where the reader must know: why there is none, or that it was guessed.

    Raises:
        ValueError: ``spec`` names no component of the samples.
    """
    if spec is not None:
        match = _SPEC.fullmatch(spec.strip())
        assert match is not None
        if match["name"] in samples.components or not samples.components:
            chosen = Correctness(match["name"], float(match["threshold"]) if match["threshold"] else None)
            chosen.of(samples)
            return chosen, ""
        raise ValueError(
            f"correct is {spec!r}: expected one of {list(samples.components)}, with '>=0.5' or the like where it is "
            "not 0 or 1."
        )
    binary = [name for name, column in zip(samples.components, samples.rewards.T, strict=True) if _is_binary(column)]
    likely = [name for name in binary if _LIKELY.search(name)] if len(binary) > 1 else binary
    if len(likely) == 1:
        # Partial credit may come later, and a guess must not stop the monitor then.
        guess = Correctness(likely[0], 1.0)
        return guess, f"A sample counts as correct if {guess.words}, which was guessed."
    return None, (
        f"Nothing says which samples are correct (components: {', '.join(samples.components) or 'none'}), so accuracy, "
        "pass@k and a verdict are missing. Name a component: correct='accuracy_reward' or "
        "'score>=0.5' (--correct of `vpo monitor`)."
    )


def _is_binary(column: NDArray[np.float64]) -> bool:
    known = column[~np.isnan(column)]
    return known.size > 0 and bool(np.isin(known, (0.0, 1.0)).all())
