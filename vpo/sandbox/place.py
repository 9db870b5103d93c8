"""Where a job runs: what this host has, and the steps by which a supervisor and then a candidate give things up."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass, field
from typing import Literal

from vpo.sandbox import descendants, jail, landlock, limits, namespaces, seccomp
from vpo.sandbox import syscalls as sys_

_HOST_NAME = "sandbox"


@dataclass(frozen=True)
class Place:
    """What jobs are surrounded by.

    Args:
        have: Names of the mechanisms that work here.
        proc: Descriptor of ``/proc``; candidates lose it.
        readable: Paths that may be read, for Landlock.
        scratch: Whether the supervisor mounts the job's folder, finds it mounted, or has none.
        flags: Namespaces that a job is cloned into.
        parent: The zygote; without it a supervisor must not live.
        filter: Of system calls; None where there is no seccomp.
        ids: User and group of the zygote.
    """

    have: frozenset[str]
    proc: int
    readable: tuple[str, ...]
    scratch: Literal["mounted here", "given", "none"]
    flags: int = 0
    parent: int | None = None
    filter: bytes | None = None
    ids: tuple[int, int] = field(default_factory=lambda: (os.geteuid(), os.getegid()))

    @property
    def owns_processes(self) -> bool:
        """Whether the supervisor is process 1 of the job, so that it may kill all that it sees."""
        return "pid_namespaces" in self.have

    def settle(self, job_limits: limits.Limits) -> int | None:
        """What a supervisor does before it runs anything.

        Returns:
            Landlock's rules for candidates.
        """
        if self.flags & sys_.NEW_USER:
            namespaces.map_ids(self.proc, *self.ids)
            socket.sethostname(_HOST_NAME)
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.parent is not None and descendants.parent(self.proc) != self.parent:
            os._exit(0)  # it died before this one could hear of it
        sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
        if self.scratch == "mounted here":
            namespaces.mount_scratch(job_limits.files_mb)
        if "landlock" not in self.have:
            return None
        change = [] if self.scratch == "none" else [jail.SCRATCH]
        return landlock.ruleset(self.readable, jail.DEVICES, change)

    def confine(self, rules: int | None, baseline: int, job_limits: limits.Limits) -> None:
        """What a candidate does before it runs the code. No way leads back.

        Args:
            rules: From :meth:`settle`.
            baseline: Bytes of address space of the bare interpreter.
            job_limits: Limits of the job.
        """
        file = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=self.proc)
        os.write(file, b"1000")  # if memory runs out on this machine, the kernel takes this process first
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        sys_.prctl(sys_.PR_SET_DUMPABLE, 0)  # a host that pipes core dumps to a program heeds no limit of their size
        sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
        if rules is not None:
            landlock.restrict(rules)
        sys_.drop_capabilities()
        limits.apply(job_limits, baseline, "process_limit" in self.have)
        if self.filter is not None and self.owns_processes:
            seccomp.install(self.filter)
        elif self.filter is not None:
            seccomp.install(make_filter(self.have, only_signal=os.getpid()))


def make_filter(have: frozenset[str], only_signal: int | None = None) -> bytes:
    """The filter of system calls for candidates.

    Args:
        have: Names of the mechanisms that work.
        only_signal: The only process that signals may go to; None for all that it sees.
    """
    # A host's service listens on a file or on a name in its network namespace: without both walls it can be reached.
    return seccomp.program(unix_sockets={"mount_namespaces", "network_namespaces"} <= have, only_signal=only_signal)
