"""A node's part in a sandbox on several: an actor that holds a pool of zygotes. It runs there, in a process of its own.

That process has no GPU and is started for this alone, and this module imports nothing heavy. The zygotes are started
by exec besides, so nothing of the process is in them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from vpo.sandbox.capabilities import NotEnforced
from vpo.sandbox.job import Job, Result
from vpo.sandbox.pool import Sandbox

_HEAVY = ("torch", "jax", "tensorflow", "vllm")


class SandboxNode:
    """Runs jobs on its node.

    Args:
        arguments: Of :class:`Sandbox`, by name.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments

    async def start(self) -> bytes:
        """Start the zygotes.

        Returns:
            JSON: ``reasons``, as a sandbox has them; or ``missing``, what the node does not enforce; or ``failed``.
        """
        if heavy := [name for name in _HEAVY if name in sys.modules]:
            return _json({"failed": f"the process has {', '.join(heavy)} imported before it starts the sandbox"})
        if devices := os.environ.get("CUDA_VISIBLE_DEVICES", ""):
            return _json({"failed": f"the process sees GPUs ({devices})"})
        try:
            self._box = Sandbox(**self._arguments)
        except NotEnforced as error:
            return _json({"missing": error.missing})
        except (OSError, ValueError) as error:
            return _json({"failed": str(error)})
        return _json({"reasons": self._box.reasons})

    async def work(self, payload: bytes) -> bytes:
        """Run a job.

        Args:
            payload: From :meth:`Job.payload`.

        Returns:
            JSON: an object for each case, the fields of its :class:`Result`.
        """
        results = await asyncio.wrap_future(self._box.submit(Job.from_payload(payload)))
        return _json([_fields(result) for result in results])


def _fields(result: Result) -> dict[str, Any]:
    try:
        json.dumps(result.value)
    except RecursionError:  # as the one who reads it there would say
        result = Result("invalid", seconds=result.seconds, detail="the result cannot be read: it is nested too deeply")
    return vars(result)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
