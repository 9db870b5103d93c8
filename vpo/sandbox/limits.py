"""What a job may use. The supervisor watches the clock and the sums; the kernel watches each process (setrlimit)."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass

_MB = 1 << 20
_STACK_MB = 64  # deep recursion in C, such as a regular expression's, should not be a crash; threads keep their 8 MB


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one job.

    Args:
        seconds: Wall time of a case, from the code's first line to the end of its process.
        job_seconds: Wall time of all the cases of a job together; cases that no time is left for are not run, and are
            ``timeout``. None for no bound but that of each case.
        memory_mb: What a case may add to the memory of the bare interpreter, in MiB: address space of one process, and
            resident memory of all of them together.
        output_kb: KiB of standard output, and of the JSON of a result. More is ``invalid``.
        processes: Processes and threads at the same time, the program itself among them.
        files_mb: MiB of files in the job's own folder, which is gone with the job; also the largest file.
        open_files: File descriptors of a process.

    Raises:
        ValueError: A limit is not positive and finite.
    """

    seconds: float = 5.0
    job_seconds: float | None = None
    memory_mb: int = 512
    output_kb: int = 256
    processes: int = 16
    files_mb: int = 16
    open_files: int = 128

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name == "job_seconds":
                continue
            whole = name not in ("seconds", "job_seconds")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ValueError(f"{name} is {value!r}: expected a {'whole ' if whole else ''}number above 0.")
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}: expected a number above 0. A job needs some of everything.")

    @property
    def output_bytes(self) -> int:
        """Most bytes of standard output or of a result."""
        return self.output_kb << 10

    def longest(self, num_cases: int) -> float:
        """Seconds that a job of so many cases may take, with a generous share for its forks."""
        code = num_cases * self.seconds
        return 0.2 * num_cases + (code if self.job_seconds is None else min(code, self.job_seconds))


def apply(limits: Limits, baseline: int, count_processes: bool) -> None:
    """Set this process's resource limits for good; its children inherit them.

    Args:
        limits: What to set.
        baseline: Bytes of address space that the interpreter had before the code ran.
        count_processes: Limit processes too, where the kernel counts those of this job alone.
    """
    wanted = {
        resource.RLIMIT_AS: baseline + limits.memory_mb * _MB,
        resource.RLIMIT_CPU: math.ceil(limits.seconds) + 1,  # the supervisor's clock comes first
        resource.RLIMIT_FSIZE: limits.files_mb * _MB,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_STACK: _STACK_MB * _MB,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if count_processes:
        wanted[resource.RLIMIT_NPROC] = limits.processes + 1  # the supervisor is one of them
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
