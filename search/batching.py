"""Requests that come one by one, answered in batches: a :class:`StreamingSampler` out of any :class:`Sampler`.

While one batch is under way, the requests that arrive wait; the next batch takes all of them, up to a limit. So batches
are as large as the traffic is dense, and a lone request hardly waits. A request that is cancelled while it waits costs
nothing; under way it is aborted if the sampler can (``abort(request_id)``, as :class:`search.ModelSampler`), else
computed to its end and thrown away. Left out: a request cannot join a batch that has begun, as it can with vLLM.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from search.records import Generation, Prompt, Request
from search.samplers import Sampler

_Waiting = tuple[Request, asyncio.Future[Generation]]


class DynamicBatcher:
    """Answers concurrent requests by calls of ``sampler.sample``, one call at a time, in a thread of its own.

    Use it from one event loop at a time.

    Args:
        sampler: The sampler. Nothing else may call it meanwhile.
        max_batch: Most requests of a call.
        max_concurrency: Most requests that are worth having here at once; twice ``max_batch`` if None, so that the next
            batch is full when one ends.
        wait_s: Seconds that the first request of an idle sampler waits for company.

    Raises:
        ValueError: A number is out of its range.
    """

    count_tokens: Callable[[Prompt], int]
    """Tokens of a prompt; there is such a method if the sampler has it."""

    def __init__(
        self, sampler: Sampler, *, max_batch: int = 32, max_concurrency: int | None = None, wait_s: float = 0.005
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch is {max_batch}, expected at least 1: it is the number of requests per call.")
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency is {max_concurrency}, expected at least 1: leave it out for a default.")
        if not 0 <= wait_s < 60:
            raise ValueError(f"wait_s is {wait_s}, expected seconds in [0, 60): use 0.005.")
        self.max_concurrency = max_concurrency or 2 * max_batch
        self._sampler = sampler
        if hasattr(sampler, "count_tokens"):
            self.count_tokens = sampler.count_tokens
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._waiting: deque[_Waiting] = deque()
        self._under_way: list[Request] = []
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sampler")

    def describe(self) -> dict[str, Any]:
        """The sampler's description: how requests are batched changes no completion."""
        describe = getattr(self._sampler, "describe", None)
        return describe() if describe else {"name": type(self._sampler).__name__}

    def check(self, request: Request) -> None:
        """Raise now what the sampler would raise at the request, if the sampler can tell.

        Raises:
            ValueError: The request cannot be answered.
        """
        check = getattr(self._sampler, "check", None)
        if check is not None:
            check(request)

    async def generate(self, request: Request) -> Generation:
        """Answer a request with whatever batch comes next. Requests that are here together need different ids.

        Raises:
            Exception: What the sampler raises at this very request; its batch mates are answered all the same.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Generation] = loop.create_future()
        self._waiting.append((request, future))
        # A worker of a loop that was closed is done, or will never be
        if self._worker is None or self._worker.done() or self._worker.get_loop() is not loop:
            self._worker = loop.create_task(self._work())
        try:
            return await future
        except asyncio.CancelledError:
            self._abort(request)
            raise

    def _abort(self, request: Request) -> None:
        abort = getattr(self._sampler, "abort", None)
        if abort is not None and any(request is each for each in self._under_way):
            abort(request.id)

    async def _work(self) -> None:
        await asyncio.sleep(self._wait_s)
        while batch := self._next_batch():
            await self._answer(batch)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            request, future = self._waiting.popleft()
            if not future.done():  # cancelled while it waited
                batch.append((request, future))
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        requests = [request for request, _ in batch]
        self._under_way = requests
        try:
            generations = await asyncio.get_running_loop().run_in_executor(self._thread, self._sampler.sample, requests)
            pairs = list(zip(batch, generations, strict=True))
        except Exception as error:
            if len(batch) == 1:
                _, future = batch[0]
                if not future.done():
                    future.set_exception(error)
                return
            # Halves until the culprit is alone; and a batch that was too large for the device fits then
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                await self._answer([pair for pair in half if not pair[1].done()])
            return
        finally:
            self._under_way = []
        for (_, future), generation in pairs:
            if not future.done():
                future.set_result(generation)
