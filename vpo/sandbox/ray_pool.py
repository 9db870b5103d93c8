"""The sandbox on several machines: jobs in, results out, while nodes come and go.

Each node of a Ray cluster has one actor, with a pool of zygotes in a process of its own
(:mod:`vpo.sandbox.ray_node`). Jobs and results travel as JSON, and what is expected of a job stays here, as always. A
node has a few jobs in flight and pulls more as it answers; those of a node that dies are run elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Literal

from vpo.cluster.actor import RayActor
from vpo.cluster.connection import Connection, Node, alive_nodes, import_ray
from vpo.cluster.crew import Crew
from vpo.cluster.work import Lost, Work
from vpo.sandbox.capabilities import NotEnforced
from vpo.sandbox.job import Job, Result
from vpo.sandbox.job_pool import JobPool
from vpo.sandbox.limits import Limits
from vpo.sandbox.ray_node import SandboxNode
from vpo.sandbox.worker import GRACE_SECONDS, Settings

_QUEUE = 2  # jobs in flight for each worker of a node: one runs, and the next is there when it ends
_TRIES = 2  # of a node's own, see vpo.sandbox.pool
_RESTART_SECONDS = 120.0  # of a zygote, between them
# A fresh process, as no other has these, and one that sees no GPU, whatever Ray does for actors without any.
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "VPO_SANDBOX_NODE": "1"}


class RaySandbox(JobPool):
    """A :class:`Sandbox` on all nodes of a Ray cluster: the same jobs, the same results.

    The wall-clock limits of jobs hold where a worker has a core to itself, so an actor reserves as many of Ray's CPUs
    as it has workers. Nodes that have none to give, as many heads, are left out. Nodes need this package, in the same
    version.

    Attributes:
        limits: As given.
        reasons: Why each mechanism does not work on a node; None where it works on all.

    Args:
        workers: Jobs that run at the same time on a node; None for one for each CPU that Ray counts there. With more,
            all of these CPUs are reserved.
        limits: Of jobs that bring none of their own.
        address: Of the cluster, see :class:`vpo.cluster.connection.Connection`; None starts one on this machine.
        preload: As for :class:`Sandbox`; this and the next three hold on every node.
        readable: Likewise.
        allow: Likewise.
        backend: ``zygote`` or ``bubblewrap``, likewise.
        tries: How many actors may lose a job, or report ``infra``, before it comes back as ``infra``.
        start_seconds: The longest that a node may take to begin, the wait for its CPUs included.
        patience_seconds: How long jobs wait for a node when there is none left.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: No cluster answers.
        NotEnforced: A node does not enforce something, and it was not allowed by name. One that joins later and does
            not either is not used.
        OSError: A node cannot start its pool for another reason.
        TimeoutError: A node has no free CPUs.
        ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits | None = None,
        *,
        address: str | None = None,
        preload: Sequence[str] = ("numpy",),
        readable: Sequence[str | os.PathLike[str]] = (),
        allow: Sequence[str] = (),
        backend: Literal["zygote", "bubblewrap"] = "zygote",
        tries: int = 3,
        start_seconds: float = 180.0,
        patience_seconds: float = 300.0,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}: expected 1 or more, or None for one for each CPU of a node.")
        if tries < 1:
            raise ValueError(f"tries is {tries}: expected 1 or more. A job that is lost once need not be the cause.")
        if backend not in ("zygote", "bubblewrap"):
            raise ValueError(f"backend is {backend!r}: expected 'zygote' or 'bubblewrap', which nodes make themselves.")
        settings = Settings.checked(preload, readable, allow)
        self._workers, self._nodes, self._pid = workers, dict[str, Node](), os.getpid()
        self._arguments = {**vars(settings), "backend": backend}
        self.limits, self.reasons = limits or Limits(), {}
        self._closed = False
        self._connection = Connection(address)
        self._crew = Crew(
            self._places,
            self._hire,
            self._welcome,
            tries=tries,
            start_seconds=start_seconds,
            patience_seconds=patience_seconds,
            grows=True,
        )
        try:
            self._crew.wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def nodes(self) -> list[Node]:
        """Those that take jobs now."""
        return [self._nodes[place] for place in self._crew.places]

    def submit(self, job: Job) -> Future[tuple[Result, ...]]:
        """Run a job when a node has room; see :meth:`JobPool.submit`."""
        if self._pid != os.getpid():
            raise RuntimeError("this sandbox belongs to the process that this one was forked from: make one here.")
        if self._closed:
            raise RuntimeError("this sandbox is closed: make another one, or keep its context open.")
        return self._crew.submit(_JobWork(job, job.limits or self.limits))

    def close(self) -> None:
        """End everything; jobs that run are ``infra``, those that wait are cancelled. The cluster stays, if it was."""
        if not self._closed and self._pid == os.getpid():
            self._closed = True
            self._crew.close()
            self._connection.close()

    def _places(self) -> list[str]:
        nodes = {place: node for place, node in alive_nodes().items() if node.cpus > 0}
        self._nodes.update(nodes)
        return list(nodes)

    def _hire(self, place: str) -> RayActor:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self._nodes[place]
        workers = self._workers or node.cpus
        options = {
            "num_cpus": min(workers, node.cpus),
            "num_gpus": 0,
            "max_restarts": 0,  # a crew does that
            "scheduling_strategy": NodeAffinitySchedulingStrategy(place, soft=False),
            "runtime_env": {"env_vars": _ENVIRONMENT},
        }
        handle = import_ray().remote(SandboxNode).options(**options).remote({**self._arguments, "workers": workers})
        return RayActor(handle, f"the sandbox on node {node.host} ({place[:8]})", _QUEUE * workers)

    def _welcome(self, place: str, answer: bytes) -> None:
        report = json.loads(answer)
        node = f"node {self._nodes[place].host} ({place[:8]})"
        if "missing" in report:
            error = NotEnforced(report["missing"])
            error.add_note(f"The host is {node} of the Ray cluster.")
            raise error
        if "failed" in report:
            raise OSError(f"the sandbox on {node} does not start: {report['failed']}")
        for name, reason in report["reasons"].items():
            self.reasons[name] = self.reasons.get(name) or (reason and f"{node}: {reason}")


class _JobWork(Work[tuple[Result, ...]]):
    """A job on its way."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self._job, self._limits = job, limits
        self._kept: tuple[Result, ...] = ()
        self.seconds = _TRIES * (limits.longest(len(job.cases)) + GRACE_SECONDS) + _RESTART_SECONDS

    def arguments(self) -> tuple[bytes]:
        return (self._job.payload(self._limits, with_turns=True),)  # here: thousands of jobs may wait

    def read(self, answer: bytes) -> tuple[Result, ...]:
        results = tuple(Result(**each) for each in json.loads(answer))
        if lost := [result.detail for result in results if result.status == "infra"]:
            self._kept = results
            raise Lost(lost[0])
        return results

    def give_up(self, reason: str) -> tuple[Result, ...]:
        """What is known of the cases, and of the others that it was not their fault."""
        kept: Sequence[Any] = self._kept or [None] * len(self._job.cases)
        return tuple(each if each and each.status != "infra" else Result("infra", detail=reason) for each in kept)
