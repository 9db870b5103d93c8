"""A streaming sampler without a model: the script of a ScriptedSampler, answered in an order of one's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from search.records import Generation, Prompt, Request
from search.samplers import ScriptedSampler, StreamingSampler
from search.seeds import stable_hash


class StreamingScript:
    """Answers requests one by one.

    Args:
        sampler: Computes the completions.
        disorder: Seed of the turns of the event loop that each request waits, so that equal seeds arrive in equal
            order; None answers at once.
        max_concurrency: As in the protocol.
        before: Called with each request before it is answered; may raise or wait.
    """

    def __init__(
        self,
        sampler: ScriptedSampler,
        *,
        disorder: int | None = None,
        max_concurrency: int = 8,
        before: Callable[[Request], None] | None = None,
        counting: bool = False,
    ) -> None:
        self.max_concurrency = max_concurrency
        self.in_flight = self.most_in_flight = 0
        self.sent: list[Request] = []
        self.returned: list[int] = []
        self.aborted: list[int] = []
        self._sampler, self._disorder, self._before = sampler, disorder, before
        if counting:
            self.count_tokens = count_words

    async def generate(self, request: Request) -> Generation:
        self.sent.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self._before is not None:
                self._before(request)
            if self._disorder is not None:
                for _ in range(random.Random(stable_hash(self._disorder, request.seed)).randrange(12)):
                    await asyncio.sleep(0)
            (generation,) = self._sampler.sample([request])
        except asyncio.CancelledError:
            self.aborted.append(request.id)
            raise
        finally:
            self.in_flight -= 1
        self.returned.append(request.id)
        return generation

    def describe(self) -> dict[str, str]:
        return {"name": "streaming script"}


def count_words(prompt: Prompt) -> int:
    return len(str(prompt).split())


_: type[StreamingSampler] = StreamingScript
