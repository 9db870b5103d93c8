"""What does the way through Ray cost a job, and how soon does a sandbox have what a dead node had?

Two nodes of a Ray cluster on this machine share its cores with the pool that they are compared with, so this measures
what Ray adds, not what a second machine would bring. Both have the same number of workers, two a core, and take turns
on the same jobs: trivial ones, of which the way is the larger part, and ones that compute for a while. Then a node is
killed in the middle of a map, again and again.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on Linux too: everything listens on 127.0.0.1
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])  # the nodes run this checkout

from ray.cluster_utils import Cluster
from targets import Target, finish, parser

from vpo.sandbox import Job, JobPool, Limits, RaySandbox, Sandbox

NODES = 2
SECONDS = 0.05  # what the longer jobs compute for
KINDS = {
    "trivial": Job("import numpy\ndef f(x): return (numpy.arange(x) ** 2).tolist()", [[4]], "f"),
    f"{1e3 * SECONDS:.0f} ms": Job(
        f"import time\ndef f(x):\n    while time.process_time() < {SECONDS}: pass\n    return [0, 1, 4, 9]", [[4]], "f"
    ),
}


@contextmanager
def two_nodes(cpus: int) -> Iterator[tuple[Cluster, Callable[[], Any]]]:
    """A cluster, and what adds a node to it."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    same = {"num_cpus": cpus, "object_store_memory": 80 << 20, "temp_dir": folder, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args={**same, "include_dashboard": False})
    try:
        yield cluster, lambda: cluster.add_node(**same)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def seconds(box: JobPool, jobs: list[Job]) -> float:
    start = time.perf_counter()
    results = box.map(jobs)
    took = time.perf_counter() - start
    assert all(result.value == [0, 1, 4, 9] for (result,) in results)
    return took


def latency_ms(box: JobPool, times: int) -> float:
    """Median of one trivial job at a time."""
    return statistics.median(seconds(box, [KINDS["trivial"]]) for _ in range(times)) * 1e3


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    cores = len(os.sched_getaffinity(0))
    workers = max(1, 2 * cores // NODES)  # of a node
    rounds, num, kills = (2, 100, 1) if options.quick else (15, 400, 5)
    load = os.getloadavg()[0]
    rates: dict[str, dict[str, list[float]]] = {kind: {"here": [], "ray": []} for kind in KINDS}
    with two_nodes(workers) as (cluster, add):
        node = add()
        limits = Limits(seconds=20)
        with Sandbox(NODES * workers, limits) as here, RaySandbox(workers, limits, address=cluster.address) as ray:
            boxes: dict[str, JobPool] = {"here": here, "ray": ray}
            assert len(ray.nodes) == NODES
            for box in boxes.values():
                seconds(box, [KINDS["trivial"]] * 50)  # warm
            for turn in range(rounds):
                for name in sorted(boxes, reverse=turn % 2 == 1):
                    for kind, job in KINDS.items():
                        jobs = [job] * (num if kind == "trivial" else num // 4)
                        rates[kind][name].append(len(jobs) / seconds(boxes[name], jobs))
            one = {name: latency_ms(box, 10 * rounds) for name, box in boxes.items()}
            lost, late = 0, []
            for _ in range(kills):
                futures = [ray.submit(KINDS[f"{1e3 * SECONDS:.0f} ms"]) for _ in range(num // 4)]
                futures[3].result()
                running = [future for future in futures if future.running()]
                start = time.perf_counter()
                cluster.remove_node(node, allow_graceful=False)
                for future in running:
                    future.result()
                late.append(time.perf_counter() - start)
                lost += sum(future.result()[0].value != [0, 1, 4, 9] for future in futures)
                node = add()
                while len(ray.nodes) < NODES:
                    time.sleep(0.1)

    print(f"{NODES} nodes of {workers} workers, {cores} cores, load {load:.1f}; medians of {rounds} rounds")
    print(f"{'':12}{'here, jobs/s':>14}{'Ray, jobs/s':>14}{'ratio':>8}{'lowest':>8}{'highest':>8}")
    results: dict[str, Any] = {}
    for kind, found in rates.items():
        ratios = [mine / own for mine, own in zip(found["ray"], found["here"], strict=True)]
        median = {name: statistics.median(each) for name, each in found.items()}
        results[kind] = {"jobs_per_second": median, "ratio": statistics.median(ratios), "ratios": ratios}
        print(
            f"{kind:12}{median['here']:14.1f}{median['ray']:14.1f}{results[kind]['ratio']:8.2f}"
            f"{min(ratios):8.2f}{max(ratios):8.2f}"
        )
    print(f"one trivial job at a time: {one['here']:.1f} ms here, {one['ray']:.1f} ms through Ray")
    print(
        f"a node killed {kills} times: {lost} jobs lost; what was in flight was there after {max(late):.1f} s at most"
    )
    longer = results[f"{1e3 * SECONDS:.0f} ms"]["ratio"]
    targets = [
        Target(
            "trivial jobs per second: two Ray nodes / one pool with as many workers", results["trivial"]["ratio"], 0.8
        ),
        Target(f"jobs of {1e3 * SECONDS:.0f} ms per second: the same ratio", longer, 0.95),
        Target("jobs lost with a killed node", lost, 0, at_least=False),
    ]
    facts = {
        "load": load,
        "cores": cores,
        "nodes": NODES,
        "workers_of_a_node": workers,
        "throughput": results,
        "one_at_a_time_ms": one,
        "kills": {"times": kills, "jobs_lost": lost, "seconds_until_in_flight_were_there": late},
    }
    return finish("sandbox_on_ray", options.quick, facts, targets)


if __name__ == "__main__":
    sys.exit(main())
