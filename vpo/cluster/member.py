"""What a crew keeps in mind: the work that it was given, and those that do it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from vpo.cluster.work import Actor, Work


@dataclass(eq=False)
class Task:
    """A piece of work that is not done."""

    work: Work[Any]
    future: Future[Any]
    losses: int = 0
    avoids: str | None = None  # the place where it was lost last


@dataclass(eq=False)
class Member:
    """An actor, and what it has in flight by number of the call."""

    place: str
    actor: Actor
    began: float
    is_ready: bool = False
    last: float = 0.0  # when it answered, or was idle
    failures: int = 0
    flying: dict[int, Task] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Whether it may have one more call."""
        return self.is_ready and len(self.flying) < self.actor.slots
