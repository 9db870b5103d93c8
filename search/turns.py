"""One at a time, in the order of their numbers: who comes early waits, so what is decided in turn can be repeated."""

from __future__ import annotations

import asyncio


class Turns:
    """Turns of the requests of one problem in a stream, from number 0."""

    def __init__(self) -> None:
        self._next = 0
        self._over: set[int] = set()  # turns that are over though those before them are not
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._end: int | None = None

    async def wait(self, number: int) -> bool:
        """Wait for a turn.

        Returns:
            False if it will never come.
        """
        if number == self._next:
            return True
        if self._end is not None and number > self._end:
            return False
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting[number]
        finally:
            del self._waiting[number]

    def over(self, number: int) -> None:
        """The turn of a number is over, or was in a former session."""
        self._over.add(number)
        while self._next in self._over:
            self._over.remove(self._next)
            self._next += 1
        self._answer(self._next, True)

    def end(self, number: int) -> None:
        """A request will not come any more: nothing behind it has a turn."""
        self._end = number if self._end is None else min(number, self._end)
        for waiting in list(self._waiting):
            if waiting > self._end:
                self._answer(waiting, False)

    def _answer(self, number: int, comes: bool) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(comes)
