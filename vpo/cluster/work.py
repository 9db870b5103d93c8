"""What a crew is given to do, and by whom: a call and its answer, and an actor that may die."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

R = TypeVar("R")


class Lost(Exception):  # noqa: N818 - it is what happened, not a mistake
    """The answer says that the machinery failed: another actor should try."""


class Work(ABC, Generic[R]):
    """One call, until it is answered.

    Attributes:
        seconds: The longest that the call may take once it has begun; beyond that the actor is taken to hang.
    """

    seconds: float = math.inf

    @abstractmethod
    def arguments(self) -> tuple[Any, ...]:
        """What to send. An exception is the future's, and nothing is sent."""

    @abstractmethod
    def read(self, answer: Any) -> R:
        """The result.

        Raises:
            Lost: It should be tried elsewhere.
        """

    @abstractmethod
    def give_up(self, reason: str) -> R:
        """The result, or an exception, when it was lost too often or nobody is left."""


class Actor(Protocol):
    """One that works, somewhere else.

    Attributes:
        name: For messages: what it is and where.
        slots: Calls that it may have in flight.
        ready: What it says when it can begin.
    """

    name: str
    slots: int
    ready: Future[Any]

    def work(self, *arguments: Any) -> Future[Any]:
        """Begin a call."""
        ...

    def end(self) -> None:
        """End it, whatever it does; twice, or after its death, is no mistake."""
        ...

    def death(self, error: BaseException) -> str | None:
        """What a future's error says of its death; None where its own code raised it."""
        ...
