"""Members of a crew that are threads here: they can be slow, die, hang and come back when a test says so."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vpo.cluster.crew import Crew
from vpo.cluster.work import Lost, Work


class DeathError(Exception):
    """What a future of a dead actor holds."""


class Thread:
    """An actor whose calls a thread does, one after another; ``act`` answers, or raises."""

    def __init__(self, name: str, act: Any, slots: int = 2, starts: Any = None) -> None:
        self.name, self.slots, self._act = name, slots, act
        self._pool = ThreadPoolExecutor(1)
        self._lock, self._flying, self.is_dead = threading.Lock(), list[Future[Any]](), False
        self.most, self.calls, self.ends = 0, list[Any](), 0
        self.ready = self._call(starts or (lambda: "ready"))

    def work(self, *arguments: Any) -> Future[Any]:
        self.calls.append(arguments)
        future = self._call(self._act, self, *arguments)
        with self._lock:
            self._flying = [each for each in self._flying if not each.done()] + [future]
            self.most = max(self.most, len(self._flying))
        return future

    def _call(self, function: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                answer = function(*arguments)
            except BaseException as error:
                if isinstance(error, DeathError):
                    self.die()
                self._settle(future, error=error)
            else:
                self._settle(future, answer)

        if self.is_dead:
            future.set_exception(DeathError("it is dead"))
        else:
            self._pool.submit(run)
        return future

    def _settle(self, future: Future[Any], answer: Any = None, error: BaseException | None = None) -> None:
        with self._lock:
            if future.done():
                return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)

    def die(self) -> None:
        self.is_dead = True
        with self._lock:
            flying, self._flying = self._flying, []
        for future in flying:
            if not future.done():
                future.set_exception(DeathError("it died"))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def end(self) -> None:
        self.ends += 1
        self.is_dead = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def death(self, error: BaseException) -> str | None:
        return str(error) if isinstance(error, DeathError) else None


class Double(Work[int]):
    def __init__(self, number: int, seconds: float = float("inf")) -> None:
        self.number, self.seconds, self.num_read = number, seconds, 0

    def arguments(self) -> tuple[int]:
        if self.number < 0:
            raise ValueError("a negative number cannot be sent")
        return (self.number,)

    def read(self, answer: Any) -> int:
        if answer == "lost":
            raise Lost("it says so")
        self.num_read += 1
        return int(answer)

    def give_up(self, reason: str) -> int:
        raise RuntimeError(reason)


class Company:
    """Places and the actors that were hired for them."""

    def __init__(self, act: Any, *places: str, starts: Any = None, **options: Any) -> None:
        self.places, self.act, self.starts = list(places), act, starts
        self.hired: dict[str, list[Thread]] = {}
        arguments = {"tries": 3, "start_seconds": 20.0, "patience_seconds": 20.0, "grows": True} | options
        self.crew = Crew(lambda: list(self.places), self.hire, self.welcome, **arguments)

    def hire(self, place: str) -> Thread:
        thread = Thread(place, self.act, starts=self.starts)
        self.hired.setdefault(place, []).append(thread)
        return thread

    def welcome(self, place: str, answer: Any) -> None:
        if answer != "ready":
            raise ValueError(f"{place} says {answer}")

    def calls(self, place: str) -> list[int]:
        return [number for thread in self.hired[place] for (number,) in thread.calls]
