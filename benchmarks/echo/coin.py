"""A control: pay that says nothing. What moves under it, no reward has moved (Spurious Rewards, arXiv 2506.10947)."""

from __future__ import annotations

import random
from typing import ClassVar

from vpo.tasks.format_mixture import FormatMixtureTask
from vpo.tasks.protocol import Row


class CoinTask(FormatMixtureTask):
    """The same word problems with a fourth component, a fair coin, and all of w* on it."""

    components: ClassVar[tuple[str, ...]] = (*FormatMixtureTask.components, "coin")  # type: ignore[misc]
    w_star: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0, 1.0)  # type: ignore[misc]
    coins: ClassVar[random.Random] = random.Random("coin")

    def score(self, answer: str, row: Row) -> tuple[float, ...]:
        """As the task, and a coin."""
        return (*super().score(answer, row), float(self.coins.random() < 0.5))
