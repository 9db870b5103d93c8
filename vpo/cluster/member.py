"""What a crew keeps in mind: the work that it was given, those that do it, and who gets what."""

from __future__ import annotations

from collections.abc import Collection
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
    is_suspect: bool = False  # lost so often that it may be the cause: it is sent alone, so that no other falls with it


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
        return self.is_ready and len(self.flying) < self.actor.slots and not self.has_suspect

    @property
    def has_suspect(self) -> bool:
        """Whether what it does is suspected to be an actor's death; then it does nothing else."""
        return len(self.flying) == 1 and next(iter(self.flying.values())).is_suspect

    @property
    def load(self) -> float:
        """Share of its slots that are taken."""
        return len(self.flying) / self.actor.slots


def choose(task: Task, members: Collection[Member], kept: set[str]) -> Member | None:
    """Who does a piece of work: the emptiest that has room, but not the place that lost it last, unless it is alone.

    Args:
        task: The work.
        members: All of them.
        kept: Places that take no more until they are empty, for work that is sent alone; another may be added.

    Returns:
        None if it has to wait.
    """
    ready = [member for member in members if member.is_ready]
    allowed = [member for member in ready if member.place != task.avoids] or ready
    if task.is_suspect:
        room = [member for member in allowed if not member.flying]
        if allowed and not room:
            kept.add(min(allowed, key=lambda member: member.load).place)
    else:
        room = [member for member in allowed if member.is_free and member.place not in kept]
    return min(room, key=lambda member: member.load, default=None)
