"""A sampler on several machines: the requests of a call are spread over actors, each of which holds a sampler.

A completion is a function of its request alone, so it does not matter which actor draws it, or how often: one that
dies is replaced, and its requests are sent again. Actors pull chunks of requests, so a slow one gets less.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from search.records import Generation, Request
from search.samplers import Sampler
from vpo.cluster.actor import RayActor
from vpo.cluster.connection import Connection, alive_nodes, import_ray
from vpo.cluster.crew import Crew
from vpo.cluster.work import Work

_IN_FLIGHT = 2  # chunks of an actor: one is drawn, and the next is there when it ends


class RaySampler:
    """Samples with several actors of a Ray cluster. Use it as a context, or call :meth:`close`.

    Left out: new weights. An actor keeps the model that its factory gave it.

    Args:
        factory: Makes an actor's sampler, there: a function of a module that all nodes have, or anything else that can
            be pickled, such as a ``functools.partial``. It must make the same sampler each time.
        actors: How many; Ray spreads them over the nodes.
        num_gpus: GPUs of an actor, which sees no others.
        num_cpus: CPUs of an actor that Ray gives to nobody else.
        chunk_size: Most requests in one call of an actor: a batch or a few of its sampler's.
        address: Of the cluster, see :class:`vpo.cluster.connection.Connection`; None starts one on this machine.
        tries: How many actors may die on a chunk before that is an error.
        start_seconds: The longest that an actor may take to begin, to load its model and to wait for its resources.
        chunk_seconds: The longest that a chunk may take; then its actor is taken to hang, and replaced.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: No cluster answers.
        TimeoutError: The cluster has no room for one of the actors.
        TypeError: The factory cannot be pickled.
        ValueError: An argument makes no sense, or the actors' samplers describe themselves differently.
        Exception: What the factory raised.
    """

    def __init__(
        self,
        factory: Callable[[], Sampler],
        actors: int,
        *,
        num_gpus: float = 0,
        num_cpus: float = 1,
        chunk_size: int = 32,
        address: str | None = None,
        tries: int = 3,
        start_seconds: float = 600.0,
        chunk_seconds: float = math.inf,
    ) -> None:
        for name, value in (("actors", actors), ("chunk_size", chunk_size), ("tries", tries)):
            if value < 1:
                raise ValueError(f"{name} is {value}: expected 1 or more.")
        if not callable(factory):
            raise ValueError(
                f"factory is {factory!r:.100}: expected a function without arguments that makes a sampler."
            )
        self._actors, self._chunk_size, self._chunk_seconds = actors, chunk_size, chunk_seconds
        self._description: dict[str, Any] | None = None
        self._closed, self._pid = False, os.getpid()
        self._connection = Connection(address)
        try:
            self._start = _remote(factory, num_gpus=num_gpus, num_cpus=num_cpus)
            self._crew = Crew(
                self._places,
                self._hire,
                self._welcome,
                tries=tries,
                start_seconds=start_seconds,
                patience_seconds=start_seconds,
                grows=False,
            )
        except BaseException:
            self._connection.close()
            raise
        try:
            self._crew.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def describe(self) -> dict[str, Any]:
        """What an actor's sampler says of itself: a run may go on with more actors, or with that sampler alone."""
        assert self._description is not None
        return self._description

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order.

        Raises:
            RuntimeError: Actors died on a chunk again and again, or the sampler is closed.
            Exception: What an actor's sampler raised.
        """
        if self._pid != os.getpid() or self._closed:
            raise RuntimeError("this sampler is closed, or belongs to another process: make another one here.")
        size = max(1, min(self._chunk_size, math.ceil(len(requests) / self._actors)))
        chunks = [list(requests[start : start + size]) for start in range(0, len(requests), size)]
        waiting = [self._crew.submit(_Chunk(chunk, self._chunk_seconds)) for chunk in chunks]
        try:
            return [generation for future in waiting for generation in future.result()]
        except BaseException:
            for future in waiting:
                future.cancel()
            raise

    def close(self) -> None:
        """End the actors, and the cluster if it was started for them."""
        if not self._closed and self._pid == os.getpid():
            self._closed = True
            self._crew.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _places(self) -> list[str]:
        alive_nodes()  # or an error, if there is no cluster any more
        return [str(number) for number in range(self._actors)]

    def _hire(self, place: str) -> RayActor:
        return RayActor(self._start(), f"sampler {place}", _IN_FLIGHT)

    def _welcome(self, place: str, description: dict[str, Any]) -> None:
        if self._description is None:
            self._description = description
        elif description != self._description:
            raise ValueError(
                f"sampler {place} is {description}, and another one {self._description}: expected the same of all. The "
                "factory must load the same model on every node."
            )


class SamplerActor:
    """Holds a sampler where it is."""

    def __init__(self, factory: Callable[[], Sampler]) -> None:
        self._factory = factory

    def start(self) -> dict[str, Any]:
        """Make the sampler; what it says of itself."""
        self._sampler = self._factory()
        describe = getattr(self._sampler, "describe", None)
        # Without a description a run knows a sampler by its class: search.driver
        return dict(describe()) if describe else {"name": type(self._sampler).__name__}

    def work(self, requests: list[Request]) -> list[Generation]:
        """Answer the requests, in order."""
        return self._sampler.sample(requests)


class _Chunk(Work[list[Generation]]):
    """Some requests of a call."""

    def __init__(self, requests: list[Request], seconds: float) -> None:
        self._requests, self.seconds = requests, seconds

    def arguments(self) -> tuple[list[Request]]:
        return (self._requests,)

    def read(self, answer: list[Generation]) -> list[Generation]:
        asked, got = [each.id for each in self._requests], [each.request_id for each in answer]
        if asked != got:
            raise ValueError(f"a sampler answered requests {got}: expected {asked}, each once and in order.")
        return answer

    def give_up(self, reason: str) -> list[Generation]:
        numbers = f"{self._requests[0].id} to {self._requests[-1].id}"
        raise RuntimeError(f"requests {numbers} were not answered: {reason}. The logs of Ray's workers may say why.")


def _remote(factory: Callable[[], Sampler], **resources: float) -> Callable[[], Any]:
    """What makes an actor."""
    ray = import_ray()
    try:
        ray.cloudpickle.dumps(factory)
    except Exception as error:
        raise TypeError(
            f"the factory cannot be sent to another process ({error}): expected a function that makes the sampler when "
            "it is called, and holds no model itself."
        ) from error
    # A crew restarts actors: Ray must not send a chunk to one whose sampler was never made
    maker = ray.remote(SamplerActor).options(**resources, max_restarts=0, scheduling_strategy="SPREAD")
    return lambda: maker.remote(factory)
