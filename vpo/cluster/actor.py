"""An actor of Ray's as a crew wants it."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any

from vpo.cluster.connection import import_ray

_log = logging.getLogger(__name__)


class RayActor:
    """See :class:`vpo.cluster.work.Actor`.

    Args:
        handle: Of an actor with the methods ``start()`` and ``work(...)``. It should do what can fail in ``start``:
            from there an exception comes as it is, and from a constructor as the actor's death.
        name: For messages.
        slots: Calls that it may have in flight.
    """

    def __init__(self, handle: Any, name: str, slots: int) -> None:
        self._handle, self.name, self.slots = handle, name, slots
        self.ready: Future[Any] = handle.start.remote().future()

    def work(self, *arguments: Any) -> Future[Any]:
        """Begin a call."""
        future: Future[Any] = self._handle.work.remote(*arguments).future()
        return future

    def end(self) -> None:
        """Kill its process."""
        ray = import_ray()
        if ray.is_initialized():  # else Ray would begin to start itself
            try:
                ray.kill(self._handle)
            except Exception as error:
                _log.debug("%s cannot be ended: %s", self.name, error)

    def death(self, error: BaseException) -> str | None:
        """Ray's word for a death or a loss; None where the actor's own code raised it."""
        from ray.exceptions import RayError, RayTaskError

        if isinstance(error, RayTaskError) or not isinstance(error, RayError):
            return None
        text = str(error).strip()
        return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
