"""The sandbox on a real Ray cluster of two nodes on this machine, of which one is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from tests.ray_cluster import RayCluster, descendants, listening, ray_cluster
from tests.vpo.sandbox.onlookers import new_mark, processes, wait_until
from vpo.cluster.connection import Connection, Node
from vpo.sandbox import Job, JobPool, Limits, NotEnforced, RaySandbox, Result, Sandbox
from vpo.sandbox.ray_node import SandboxNode
from vpo.sandbox.ray_pool import _JobWork

pytestmark = pytest.mark.distributed

DOUBLE = "def f(x): return 2 * x"
SLOW = "import time\ndef f(x, seconds):\n    time.sleep(seconds)\n    return x"
LIMITS = Limits(seconds=10, memory_mb=256, output_kb=64)
MIXED = [
    Job(DOUBLE, [[1], ["ab"], [[1.5]], [{}]], "f"),  # the last one is an error
    Job("print(input()[::-1])", ["abc", "ü\u2028"]),
    Job("def f():\n    while True: pass", [[]], "f", Limits(seconds=0.3)),
    Job("def f(): return len(bytearray(6 << 30))", [[]], "f"),
    Job("def f(): return float('nan')", [[]], "f"),
    Job("def f(): return 'x' * 60000", [[]] * 4, "f"),  # more than Ray keeps in a message
    Job("import os\ndef f(): os.abort()", [[]], "f"),
    Job("def f(", [[]], "f"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """The first node, which drivers need, with a CPU, and one that may die with another."""
    try:
        with Sandbox(1, preload=()):
            pass
    except NotEnforced as error:
        pytest.skip(str(error))
    with ray_cluster(2) as nodes:
        connection = Connection(nodes.address)  # once for all tests: it takes seconds
        yield nodes
        connection.close()


@pytest.fixture(scope="module")
def marked(cluster: RayCluster) -> Iterator[tuple[RaySandbox, str]]:
    """A sandbox with a worker on each node, and the mark of its processes; one for all tests, as it takes seconds."""
    mark = new_mark()
    with RaySandbox(1, LIMITS, address=cluster.address, preload=(), readable=[mark]) as box:
        yield box, mark
    assert wait_until(lambda: not processes(mark)), "nothing is left on any node"


@pytest.fixture
def pool(cluster: RayCluster, marked: tuple[RaySandbox, str]) -> tuple[RaySandbox, str]:
    """The same with both nodes at work, whatever the test before has killed."""
    if not cluster.num_added:
        cluster.add()
    assert wait_until(lambda: len(marked[0].nodes) == 2)
    return marked


def actors(mark: str) -> list[int]:
    """Processes that hold zygotes."""
    found = processes(mark)
    return sorted({parent for parent in found.values() if parent not in found})


def plain(results: list[tuple[Result, ...]]) -> list[tuple[Any, ...]]:
    return [tuple((each.status, each.value, each.stdout, each.detail) for each in group) for group in results]


def test_two_nodes_answer_as_one_sandbox_does_in_the_order_of_the_jobs(pool: tuple[RaySandbox, str]) -> None:
    box, mark = pool
    with Sandbox(2, LIMITS, preload=()) as here:
        assert plain(box.map(MIXED * 2)) == plain(here.map(MIXED * 2))
        assert box.reasons == here.reasons
    assert len(actors(mark)) == 2
    jobs = [Job(SLOW, [[number, 0.3 if number % 4 == 0 else 0]], "f") for number in range(12)]
    assert [result.value for (result,) in box.map(jobs)] == list(range(12))


def test_a_case_is_handed_its_lines_on_the_node(pool: tuple[RaySandbox, str]) -> None:
    body = "    os.write(1, b'go\\n')\n    for line in sys.stdin: os.write(1, line.upper().encode())"
    code = f"import os, sys\ndef f():\n{body}"
    found = pool[0].map([Job(code, [[]], "f", turns=[["a", "b"]])] * 3)
    assert [(each.status, each.replies) for (each,) in found] == [("ok", ("go", "A", "B"))] * 3


def test_threads_and_an_event_loop_share_it(pool: tuple[RaySandbox, str]) -> None:
    box: JobPool = pool[0]
    found: dict[int, list[int]] = {}

    def work(start: int) -> None:
        jobs = [Job(DOUBLE, [[number]], "f") for number in range(start, start + 5)]
        found[start] = [result.value for (result,) in box.map(jobs)]

    async def many() -> list[Any]:
        done = await asyncio.gather(*(box.run_async(Job(DOUBLE, [[number]], "f")) for number in range(5)))
        return [result.value for (result,) in done]

    threads = [threading.Thread(target=work, args=[100 * number]) for number in range(3)]
    for thread in threads:
        thread.start()
    assert asyncio.run(many()) == [0, 2, 4, 6, 8]
    for thread in threads:
        thread.join()
    assert found == {start: [2 * (start + number) for number in range(5)] for start in (0, 100, 200)}


def test_an_actor_has_a_process_of_its_own_without_gpus_that_listens_on_loopback(
    pool: tuple[RaySandbox, str],
) -> None:
    for pid in actors(pool[1]):
        names = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"CUDA_VISIBLE_DEVICES=" in names and b"RAY_USAGE_STATS_ENABLED=0" in names
        assert b"SandboxNode" in Path(f"/proc/{pid}/cmdline").read_bytes()
        loaded = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in loaded and "libcuda" not in loaded
    assert listening(descendants(os.getpid()) | {os.getpid()}) == {"127.0.0.1"}


def test_a_node_that_is_killed_in_the_middle_loses_no_job_and_one_that_joins_gets_some(
    pool: tuple[RaySandbox, str], cluster: RayCluster, caplog: pytest.LogCaptureFixture
) -> None:
    box, mark = pool
    num_answers = [0] * 60
    futures = [box.submit(Job(SLOW, [[number, 0.15], [number, 0]], "f")) for number in range(60)]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: num_answers.__setitem__(number, num_answers[number] + 1))
    futures[7].result()
    with caplog.at_level(logging.WARNING, "vpo.cluster.crew"):
        victim = cluster.kill_last()
        assert wait_until(lambda: victim not in [node.id for node in box.nodes])
    assert len(box.nodes) == 1
    lost = r"lost an actor with [12] calls"  # one, where the other came back broken before the actor died
    assert any(re.match(lost, record.getMessage()) for record in caplog.records), "it was at work"
    assert not futures[-1].done(), "there is work left for the one that joins"
    joined = cluster.add()
    assert wait_until(lambda: joined in [node.id for node in box.nodes])
    results = [future.result(timeout=60) for future in futures]
    assert [[each.value for each in group] for group in results] == [[number, number] for number in range(60)]
    assert num_answers == [1] * 60
    assert len(actors(mark)) == 2


def test_an_actor_that_is_killed_is_replaced_on_its_node(pool: tuple[RaySandbox, str]) -> None:
    box, mark = pool
    before, places = actors(mark), {node.id for node in box.nodes}
    futures = [box.submit(Job(SLOW, [[number, 0.15]], "f")) for number in range(20)]
    futures[3].result()
    os.kill(before[0], signal.SIGKILL)
    assert [future.result(timeout=60)[0].value for future in futures] == list(range(20))
    assert wait_until(lambda: len(box.nodes) == 2)
    assert {node.id for node in box.nodes} == places
    assert before[0] not in actors(mark) and before[1] in actors(mark)


def test_closing_breaks_off_what_runs_and_cancels_what_waits(cluster: RayCluster) -> None:
    mark = new_mark()
    box = RaySandbox(1, Limits(seconds=20), address=cluster.address, preload=(), readable=[mark])
    futures = [box.submit(Job(SLOW, [[number, 9], [number, 0]], "f")) for number in range(9)]
    assert wait_until(lambda: len(processes(mark)) == 6)  # on each node a zygote, a supervisor and a candidate
    box.close()
    assert wait_until(lambda: not processes(mark))
    for future in futures[:4]:  # two in flight a worker
        assert [result.status for result in future.result()] == ["infra", "infra"]
    for future in futures[4:]:
        with pytest.raises(CancelledError):
            future.result()
    with pytest.raises(RuntimeError, match="this sandbox is closed"):
        box.submit(Job(DOUBLE, [[1]], "f"))
    box.close()  # twice is no mistake


def test_an_argument_that_is_no_json_is_the_futures_error(pool: tuple[RaySandbox, str]) -> None:
    with pytest.raises(ValueError, match="expected JSON values only"):
        pool[0].run(Job(DOUBLE, [[{1, 2}]], "f"))


def test_a_second_sandbox_that_finds_no_cpus_says_so(pool: tuple[RaySandbox, str], cluster: RayCluster) -> None:
    with pytest.raises(TimeoutError, match=r"was not ready in 3 s: expected CPUs"):
        RaySandbox(2, address=cluster.address, preload=(), start_seconds=3)


def test_a_process_that_is_connected_is_not_connected_elsewhere_in_silence(cluster: RayCluster) -> None:
    with pytest.raises(ConnectionError, match=r"this process is connected to .* got '127\.0\.0\.1:1'"):
        RaySandbox(address="127.0.0.1:1")


def test_what_a_node_cannot_start_is_an_error_that_names_it(cluster: RayCluster) -> None:
    with pytest.raises(OSError, match=r"the sandbox on node 127\.0\.0\.1 .*no_such_module cannot be imported"):
        RaySandbox(1, address=cluster.address, preload=["no_such_module"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0: expected 1 or more"),
        ({"tries": 0}, "tries is 0: expected 1 or more"),
        ({"backend": "docker"}, "backend is 'docker': expected 'zygote' or 'bubblewrap'"),
        ({"allow": ["no_walls"]}, "allow names 'no_walls'"),
        ({"readable": ["/usr/.."]}, "readable names /: expected what the code needs"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RaySandbox(address="127.0.0.1:1", **arguments)


# --- without a cluster -----------------------------------------------------------------------------------------------


def test_a_job_that_is_infra_on_one_node_is_lost_and_keeps_what_is_known() -> None:
    from vpo.cluster.work import Lost

    work = _JobWork(Job(DOUBLE, [[1], [2]], "f"), LIMITS)
    found = [vars(Result("ok", 2)), vars(Result("infra", detail="the process ended"))]
    with pytest.raises(Lost, match="the process ended"):
        work.read(json.dumps(found).encode())
    assert work.give_up("lost 3 times") == (Result("ok", 2), Result("infra", detail="lost 3 times"))
    assert _JobWork(Job(DOUBLE, [[1]], "f"), LIMITS).give_up("gone") == (Result("infra", detail="gone"),)


def test_what_is_sent_is_json_and_holds_code_and_cases_alone() -> None:
    (payload,) = _JobWork(Job(DOUBLE, [[1], [2]], "f"), LIMITS).arguments()
    assert json.loads(payload) == {"code": DOUBLE, "entry": "f", "cases": [[1], [2]], "limits": vars(LIMITS)}
    assert Job.from_payload(payload) == Job(DOUBLE, [[1], [2]], "f", LIMITS)
    talk = Job(DOUBLE, [[1]], "f", LIMITS, [["a"]])
    assert Job.from_payload(talk.payload(LIMITS, with_turns=True)) == talk
    assert "turns" not in json.loads(talk.payload(LIMITS)), "a zygote must not be told what is to come"


def test_what_a_node_does_not_enforce_is_the_error_of_one_machine_and_names_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**arguments: Any) -> Sandbox:
        raise NotEnforced({"landlock": "it is switched off"})

    monkeypatch.setattr("vpo.sandbox.ray_node.Sandbox", refuse)
    monkeypatch.setattr("vpo.sandbox.ray_node._HEAVY", ())  # another test may have brought torch into this process
    answer = asyncio.run(SandboxNode({}).start())
    box = RaySandbox.__new__(RaySandbox)
    box._nodes = {"0123456789": Node("0123456789", "10.0.0.7", 4)}
    with pytest.raises(NotEnforced, match="no_landlock: it is switched off") as caught:
        box._welcome("0123456789", answer)
    assert caught.value.__notes__ == ["The host is node 10.0.0.7 (01234567) of the Ray cluster."]


def test_an_actor_where_gpus_or_heavy_libraries_are_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed() -> str:
        return str(json.loads(asyncio.run(SandboxNode({}).start()))["failed"])

    monkeypatch.setattr("vpo.sandbox.ray_node._HEAVY", ("json",))
    assert failed() == "the process has json imported before it starts the sandbox"
    monkeypatch.setattr("vpo.sandbox.ray_node._HEAVY", ())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert failed() == "the process sees GPUs (0)"
