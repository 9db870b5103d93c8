"""Several coroutines of which one failure ends all: nothing is left running that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gather_or_cancel(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines side by side and give their results in order.

    If one raises, or the caller is cancelled, the others are cancelled and waited for. Unlike ``asyncio.TaskGroup``,
    which would raise a group of errors, this raises the first error itself.
    """
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
