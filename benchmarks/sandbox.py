"""What does it cost to run generated code safely, and does it hold when every fourth job misbehaves?

First, trivial jobs that use numpy, one after another: in a zygote's sandbox, in bubblewrap's if it is there, and in a
fresh interpreter without any protection, in alternating rounds. Then one and two workers a core: a job is handed from
process to process, and a second one fills the gaps. Jobs per second of CPU time count what all processes of a job used,
so other work on the machine does not move them much.

Second, a mixture: one job in ten hangs until its time is over, one in ten crashes, one in twenty asks for 6 GB. Ideal
is the time that the hanging ones are given plus what as many trivial jobs took alone, before and after, on all
workers.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from targets import Target, finish, parser

from vpo.sandbox import Job, Limits, Sandbox

CODE = "import numpy\ndef f(x): return (numpy.arange(x) ** 2).tolist()"
TRIVIAL = Job(CODE, [[4]], "f")
ANSWER = [0, 1, 4, 9]
HANG_SECONDS = 0.5
LIMITS = Limits(seconds=HANG_SECONDS, memory_mb=512)
MIXTURE = {  # kind: (share in twentieths, job, status)
    "hangs": (2, Job("def f():\n    while True: pass", [[]], "f"), "timeout"),
    "crashes": (2, Job("import ctypes\ndef f(): ctypes.string_at(0)", [[]], "f"), "error"),
    "allocates": (1, Job("def f(): return len(bytearray(6 << 30))", [[]], "f"), "oom"),
    "is trivial": (15, TRIVIAL, "ok"),
}


def cpu_seconds() -> float:
    """Of this process and of all that it has waited for."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def fresh_interpreter() -> None:
    command = [sys.executable, "-c", f"{CODE}\nprint(f(4))"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"[0, 1, 4, 9]\n"


def in_box(box: Sandbox) -> Callable[[], None]:
    def run() -> None:
        (result,) = box.run(TRIVIAL)
        assert result.value == ANSWER, result

    return run


def latencies(ways: dict[str, tuple[Callable[[], None], int]], rounds: int) -> dict[str, list[float]]:
    """Seconds of single jobs; a round runs each way its number of times, so that all ways see the same machine."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for run, _ in ways.values():
        run()  # warm
    for _ in range(rounds):
        for name, (run, times) in ways.items():
            for _ in range(times):
                start = time.perf_counter()
                run()
                found[name].append(time.perf_counter() - start)
    return found


def throughput(workers: int, num: int) -> tuple[float, float]:
    """Trivial jobs per second, and per second of CPU time, without the start of the sandbox."""
    before = cpu_seconds()
    with Sandbox(workers, LIMITS):
        pass
    start_cost, before = cpu_seconds() - before, cpu_seconds()
    with Sandbox(workers, Limits(seconds=10)) as box:
        start = time.perf_counter()
        results = box.map([TRIVIAL] * num)
        seconds = time.perf_counter() - start
    assert all(result.value == ANSWER for (result,) in results)
    return num / seconds, num / (cpu_seconds() - before - start_cost)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def mixture(workers: int, num: int) -> dict[str, Any]:
    kinds = [kind for kind, (share, _, _) in MIXTURE.items() for _ in range(share)]
    order = [kinds[(7 * number) % len(kinds)] for number in range(num)]  # 7 and 20 share no factor: evenly spread
    counts: Counter[tuple[str, str]] = Counter()
    memory = []
    with Sandbox(workers, LIMITS) as box:

        def trivial(times: int) -> float:
            start = time.perf_counter()
            box.map([TRIVIAL] * times)
            return (time.perf_counter() - start) / times

        alone = [trivial(num // 20)]
        start = time.perf_counter()
        for first in range(0, num, num // 10):
            part = order[first : first + num // 10]
            results = box.map([MIXTURE[kind][1] for kind in part])
            counts.update((kind, result.status) for kind, (result,) in zip(part, results, strict=True))
            memory.append(resident_mb())
        seconds = time.perf_counter() - start
        alone.append(trivial(num // 20))
    ideal = order.count("hangs") * HANG_SECONDS / workers + num * statistics.fmean(alone)
    right = sum(count for (kind, status), count in counts.items() if status == MIXTURE[kind][2])
    return {
        "jobs": num,
        "statuses": {f"{kind}: {status}": count for (kind, status), count in sorted(counts.items())},
        "as_expected": right,
        "seconds": seconds,
        "ideal_seconds": ideal,
        "resident_mb": memory,
    }


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    workers = len(os.sched_getaffinity(0))
    rounds, num_throughput, num_mixture = (4, 200, 400) if options.quick else (40, 3000, 10_000)
    load = os.getloadavg()[0]
    with Sandbox(1, LIMITS) as zygote:
        ways: dict[str, tuple[Callable[[], None], int]] = {
            "zygote": (in_box(zygote), 25),
            "fresh interpreter, no protection": (fresh_interpreter, 2),
        }
        if shutil.which("bwrap"):
            with Sandbox(1, LIMITS, backend="bubblewrap", allow=["no_process_limit"]) as wrapped:
                seconds = latencies(ways | {"bubblewrap": (in_box(wrapped), 2)}, rounds)
        else:
            seconds = latencies(ways, rounds)
    print(f"one trivial job with numpy at a time; {workers} cores, load {load:.1f}, niceness {os.nice(0)}")
    print(f"{'':34}{'jobs':>7}{'median ms':>11}{'p99 ms':>9}{'jobs/s':>9}")
    table = {}
    for name, found in seconds.items():
        p99 = statistics.quantiles(found, n=100)[98] if len(found) > 1 else found[0]
        median, rate = statistics.median(found), 1 / statistics.fmean(found)
        table[name] = {"jobs": len(found), "median_ms": 1e3 * median, "p99_ms": 1e3 * p99, "jobs_per_second": rate}
        print(f"{name:34}{len(found):7}{1e3 * median:11.2f}{1e3 * p99:9.2f}{rate:9.1f}")
    print(f"\n{num_throughput} of them at once{'':17}{'jobs/s':>9}{'a core':>9}{'a CPU second':>14}")
    busy = {}
    for each in (workers, 2 * workers):
        rate, cpu_rate = throughput(each, num_throughput)
        busy[each] = {"jobs_per_second": rate, "jobs_per_cpu_second": cpu_rate}
        print(f"{f'{each} workers':34}{rate:9.1f}{rate / workers:9.1f}{cpu_rate:14.1f}")
    full = busy[2 * workers]

    mixed = mixture(workers, num_mixture)
    took, ideal = mixed["seconds"], mixed["ideal_seconds"]
    print(f"\n{mixed['jobs']} mixed jobs on {workers} workers: {took:.1f} s, ideal {ideal:.1f} s")
    for name, count in mixed["statuses"].items():
        print(f"  {name:24}{count:6}")
    memory = mixed["resident_mb"]
    print("  memory of this process by tenths of the way, MiB: " + " ".join(f"{each:.1f}" for each in memory))

    fresh = table["fresh interpreter, no protection"]["median_ms"]
    targets = [
        Target("trivial jobs per second and core, two workers a core", full["jobs_per_second"] / workers, 60),
        Target("trivial jobs per second of CPU time", full["jobs_per_cpu_second"], 60),
        Target("p99 of a trivial job, ms", table["zygote"]["p99_ms"], 60, at_least=False),
        Target("median of a fresh interpreter / of a zygote's job", fresh / table["zygote"]["median_ms"], 10),
        Target("mixed jobs that ended as they should, share", mixed["as_expected"] / mixed["jobs"], 1),
        Target("mixed jobs: time / ideal", took / ideal, 1.3, at_least=False),
        Target("mixed jobs: growth of this process since the first tenth, MiB", memory[-1] - memory[0], 4, False),
    ]
    results = {
        "load": load,
        "niceness": os.nice(0),
        "cores": workers,
        "one_at_a_time": table,
        "by_workers": busy,
        "mixture": mixed,
    }
    return finish("sandbox", options.quick, results, targets)


if __name__ == "__main__":
    sys.exit(main())
