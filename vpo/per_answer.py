"""Rewards that judge one answer at a time: called concurrently, and never twice for the same answer of a batch.

A judge behind an API, a test run, a prover: slow, and made for one answer. ``per_answer`` makes a TRL reward function
of it, for :class:`~trainers.VPOTrainer` and for any trainer of TRL's::

    @per_answer(concurrency=16)
    def passes(prompt, completion, tests):  # a dataset column by its name
        return [run(completion, test) for test in tests]
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, overload

# What TRL passes that belongs to a completion or to the run: with it, no two answers would be the same.
_NOT_OF_AN_ANSWER = ("completion_ids", "trainer_state", "log_extra", "log_metric", "environments")

Judge = Callable[..., Any]


@overload
def per_answer(func: Judge) -> PerAnswer: ...
@overload
def per_answer(*, concurrency: int = 32) -> Callable[[Judge], PerAnswer]: ...
def per_answer(func: Judge | None = None, *, concurrency: int = 32) -> PerAnswer | Callable[[Judge], PerAnswer]:
    """Make a TRL reward function of one that judges a single answer.

    Args:
        func: ``func(prompt, completion, **columns) -> reward``, sync (called in threads) or async. It gets the dataset
            columns that it names, or all of them if it takes ``**kwargs``; of what TRL knows of a completion
            (``completion_ids``, ``loop_depth``) only what it names. A reward is a number, or a list or dict of several.
            It must depend on its arguments alone: equal ones are judged once a batch.
        concurrency: Most calls that are under way at once.

    Returns:
        A reward function of lists; async if ``func`` is.

    Raises:
        ValueError: ``concurrency`` is below 1.
        TypeError: ``func`` cannot be called.
    """
    if func is None:
        return lambda judge: per_answer_of(judge, concurrency)
    return per_answer_of(func, concurrency)


def per_answer_of(func: Judge, concurrency: int) -> PerAnswer:
    """`per_answer` without the decorator's two forms."""
    if not callable(func):
        raise TypeError(f"{func!r} was given as a judge: expected a function of one prompt and one completion.")
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}: expected 1 or more calls at once.")
    is_async = inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004
    return (_AsyncPerAnswer if is_async else PerAnswer)(func, concurrency)


class PerAnswer:
    """A reward function of lists that calls a judge once for each different answer; see `per_answer`."""

    def __init__(self, func: Judge, concurrency: int) -> None:
        self.func = func
        self.concurrency = concurrency
        self.__name__ = str(getattr(func, "__name__", type(func).__name__))
        if hasattr(func, "components"):
            self.components = tuple(func.components)
        parameters = inspect.signature(func).parameters.values()
        self._named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)

    def __call__(self, prompts: list[Any], completions: list[Any], **kwargs: Any) -> Any:
        """Rewards of the answers, in order."""
        calls, places = self._calls(prompts, completions, kwargs)
        with ThreadPoolExecutor(min(self.concurrency, max(len(calls), 1))) as pool:
            rewards = list(pool.map(lambda call: self.func(**call), calls))
        return [rewards[place] for place in places]

    def _calls(
        self, prompts: list[Any], completions: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """The arguments of each different call, and for each answer which of them is its own."""
        columns = {
            name: values
            for name, values in kwargs.items()
            if (name in self._named or (self._takes_all and name not in (*_NOT_OF_AN_ANSWER, "loop_depth", "loop_cap")))
            and isinstance(values, list)
            and len(values) == len(completions)
        }
        whole = {name: kwargs[name] for name in kwargs if name in self._named and name not in columns}
        calls: list[dict[str, Any]] = []
        seen: dict[str, int] = {}
        places = []
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            own = {
                "prompt": prompt,
                "completion": completion,
                **{name: values[row] for name, values in columns.items()},
            }
            key = _key(own)
            if key is None or key not in seen:
                place = len(calls)
                calls.append({**own, **whole})
                if key is not None:
                    seen[key] = place
            else:
                place = seen[key]
            places.append(place)
        return calls, places


class _AsyncPerAnswer(PerAnswer):
    async def __call__(self, prompts: list[Any], completions: list[Any], **kwargs: Any) -> Any:
        """Rewards of the answers, in order."""
        calls, places = self._calls(prompts, completions, kwargs)
        limit = asyncio.Semaphore(self.concurrency)

        async def one(call: dict[str, Any]) -> Any:
            async with limit:
                reward: Awaitable[Any] = self.func(**call)
                return await reward

        rewards = await asyncio.gather(*(one(call) for call in calls))
        return [rewards[place] for place in places]


def _key(arguments: dict[str, Any]) -> str | None:
    """What equal arguments have in common; None if they cannot be told apart (images, objects)."""
    try:
        return json.dumps(arguments, sort_keys=True)
    except (TypeError, ValueError):
        return None
