"""The numbers of a depth report once more, in plain loops over passages, tokens and depths: slow, and easy to check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from eval.depth import Passage
from tests.eval.depth_report.analytic_cores import VOCABULARY, Core

Array = NDArray[np.float64]
GAIN = 1.5


@dataclass
class Token:
    """One prediction at every depth.

    Args:
        kind: Its passage's format.
        states: R + 1 states (H,).
        logs: R log-probabilities (V,).
        target: The token that came next.
    """

    kind: str
    states: list[Array]
    logs: list[Array]
    target: int
    loss: Array = field(init=False)

    def __post_init__(self) -> None:
        self.loss = np.array([-each[self.target] for each in self.logs])

    def divergence(self, loop: int, other: int) -> float:
        """``KL(p_loop || p_other)`` in nats."""
        now, then = self.logs[loop - 1], self.logs[other - 1]
        return sum(float(np.exp(now[v]) * (now[v] - then[v])) for v in range(len(now)))

    def step(self, loop: int) -> Array:
        return self.states[loop] - self.states[loop - 1]

    def residual(self, loop: int) -> float:
        return size(self.step(loop)) / size(self.states[loop])

    def cosine(self, loop: int) -> float:
        one, other = self.step(loop), self.step(loop - 1)
        return float(one @ other / np.sqrt((one @ one) * (other @ other)))

    def halts(self, tol: float, cap: int) -> int:
        """First loop whose step is below ``tol`` of the smallest state so far, else the cap."""
        for loop in range(1, cap + 1):
            smallest = min(size(self.states[t]) for t in range(1, loop + 1))
            if size(self.step(loop)) < tol * smallest:
                return loop
        return cap


def size(vector: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(vector**2)))


def passages_of(core: Core, count: int = 20) -> list[Passage]:
    """Text whose next token is often the one that the core predicts after two loops, so that depth matters."""
    rng, head = np.random.default_rng(0), core.head.numpy()
    twice = [GAIN * np.tanh(GAIN * np.tanh(each.numpy())) for each in core.embedding]
    likely = [int((head @ state).argmax()) for state in twice]
    rows = []
    for i in range(count):
        ids = [int(rng.integers(VOCABULARY))]
        while len(ids) < 4 + i % 6:
            ids.append(likely[ids[-1]] if rng.random() < 0.7 else int(rng.integers(VOCABULARY)))
        rows.append(Passage(ids, start=1 + i % 2, kind=("code", "prose", "prose")[i % 3]))
    return rows


def tokens_of(core: Core, passages: Sequence[Passage], loops: int) -> list[Token]:
    """All predictions of the core ``z -> GAIN tanh(z)``."""
    head = core.head.numpy()
    found = []
    for row in passages:
        for place in range(row.start - 1, len(row.ids) - 1):
            states = [core.embedding[row.ids[place]].numpy()]
            for _ in range(loops):
                states.append(GAIN * np.tanh(states[-1]))
            logs = [log_softmax(head @ state) for state in states[1:]]
            found.append(Token(row.kind, states, logs, row.ids[place + 1]))
    return found
