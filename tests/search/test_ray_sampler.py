"""Sampling with actors of a real Ray cluster of two nodes, of which one, or an actor, is killed in the middle."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from search import Budget, Evolution, Generation, RaySampler, Request, ScriptedSampler, run_search
from tests.ray_cluster import RayCluster, ray_cluster
from tests.search.tiny_model import tiny_model_sampler
from tests.search.told_sampler import Other, Told, script
from tests.search.toy_problem import ToyProblem, toy_sampler
from tests.vpo.sandbox.onlookers import wait_until
from vpo.cluster.connection import Connection

pytestmark = pytest.mark.distributed


def requests(prompts: Sequence[str]) -> list[Request]:
    return [
        Request(id=100 + number, prompt=prompt, prefix="x " * (number % 2), seed=31 * number, max_new_tokens=3)
        for number, prompt in enumerate(prompts)
    ]


def chunks(log: Path) -> list[tuple[int, list[int]]]:
    """Process and request ids of each chunk that was begun."""
    return [(int(line.split()[0]), [int(each) for each in line.split()[1:]]) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as nodes:
        connection = Connection(nodes.address)
        yield nodes
        connection.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def sampler(cluster: RayCluster, log: Path) -> Iterator[RaySampler]:
    with RaySampler(functools.partial(Told, str(log)), 2, chunk_size=4, address=cluster.address) as made:
        yield made


def test_the_answers_are_those_of_the_sampler_itself_in_order(sampler: RaySampler, log: Path) -> None:
    asked = requests(["slow"] * 30)
    assert sampler.sample(asked) == ScriptedSampler(script).sample(asked)
    found = chunks(log)
    assert len({pid for pid, _ in found}) == 2
    assert sorted(each for _, ids in found for each in ids) == [request.id for request in asked]
    assert all(len(ids) <= 4 for _, ids in found)
    assert sampler.describe() == {"name": "told"}
    assert sampler.sample([]) == []
    log.unlink()
    sampler.sample(asked[:3])
    assert sorted(len(ids) for _, ids in chunks(log)) == [1, 2], "a few requests are spread as well"


def test_an_actor_that_dies_is_replaced_and_its_requests_sent_again(sampler: RaySampler, log: Path) -> None:
    asked = requests(["slow"] * 9 + ["kill once"] + ["slow"] * 20)
    assert sampler.sample(asked) == ScriptedSampler(script).sample(asked)
    assert Path(f"{log}.killed").exists()

    def is_replaced() -> bool:
        assert sampler.sample(asked[:8]) == ScriptedSampler(script).sample(asked[:8])
        return len({pid for pid, _ in chunks(log)}) == 3

    assert wait_until(is_replaced, 60)


def test_a_request_that_kills_every_actor_is_an_error_and_the_sampler_goes_on(sampler: RaySampler) -> None:
    with pytest.raises(RuntimeError, match=r"requests 100 to 100 were not answered: lost 3 times"):
        sampler.sample(requests(["kill", "slow"]))
    asked = requests(["slow"] * 3)
    assert sampler.sample(asked) == ScriptedSampler(script).sample(asked)


def test_what_a_sampler_raises_is_raised_here(sampler: RaySampler) -> None:
    with pytest.raises(ValueError, match="a prompt has no tokens"):
        sampler.sample(requests(["slow", "wrong", "slow"]))
    with pytest.raises(ValueError, match=r"a sampler answered requests \[100\]: expected \[100, 101\]"):
        sampler.sample(requests(["forget"] * 4))


def test_a_node_that_is_killed_in_the_middle_changes_nothing(cluster: RayCluster, log: Path) -> None:
    asked = requests(["slow"] * 60)
    with RaySampler(functools.partial(Told, str(log)), 2, chunk_size=3, address=cluster.address) as sampler:
        found: list[list[Generation]] = []
        thread = threading.Thread(target=lambda: found.append(sampler.sample(asked)))
        thread.start()
        while not log.exists() or len(chunks(log)) < 4:
            time.sleep(0.02)
        cluster.kill_last()
        thread.join(timeout=60)
        assert found == [ScriptedSampler(script).sample(asked)]
    cluster.add()


def test_a_search_finds_the_same_and_its_ledger_may_be_read_without_ray(cluster: RayCluster, tmp_path: Path) -> None:
    problem = ToyProblem("p")

    def search(sampler: Any, ledger: str) -> Any:
        (result,) = run_search(
            [problem],
            lambda each: Evolution(each.vary),
            sampler,
            Budget(max_answers=40),
            ledger_path=tmp_path / ledger,
        )
        return result.candidates

    alone = search(toy_sampler(problem), "alone.jsonl")
    with RaySampler(functools.partial(toy_sampler, problem), 2, address=cluster.address) as sampler:
        assert search(sampler, "spread.jsonl") == alone
    assert search(toy_sampler(problem), "spread.jsonl") == alone


def test_a_model_in_every_actor_draws_what_it_draws_here(cluster: RayCluster) -> None:
    asked = [
        Request(id=number, prompt="a b c d"[: 1 + 2 * (number % 4)], seed=number, max_new_tokens=8)
        for number in range(20)
    ]
    with RaySampler(tiny_model_sampler, 2, chunk_size=3, address=cluster.address) as sampler:
        assert sampler.sample(asked) == tiny_model_sampler().sample(asked)
        assert sampler.describe() == tiny_model_sampler().describe()


def test_samplers_that_are_not_the_same_are_refused(cluster: RayCluster, log: Path) -> None:
    with pytest.raises(ValueError, match="expected the same of all"):
        RaySampler(functools.partial(Other, str(log)), 2, address=cluster.address)


def test_what_the_factory_raises_is_raised_here(cluster: RayCluster) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        RaySampler(functools.partial(open, "/no-such-model"), 1, address=cluster.address)


def test_a_sampler_that_does_not_fit_into_the_cluster_says_so(cluster: RayCluster, log: Path) -> None:
    with pytest.raises(TimeoutError, match=r"sampler 0 was not ready in 2 s: expected CPUs, and GPUs"):
        RaySampler(functools.partial(Told, str(log)), 1, num_gpus=1, address=cluster.address, start_seconds=2)


def test_a_closed_sampler_says_so(sampler: RaySampler) -> None:
    sampler.close()
    sampler.close()
    with pytest.raises(RuntimeError, match="this sampler is closed"):
        sampler.sample(requests(["a"]))


def test_a_factory_that_holds_a_lock_cannot_be_sent(cluster: RayCluster) -> None:
    with pytest.raises(TypeError, match="the factory cannot be sent to another process"):
        RaySampler(functools.partial(Told, threading.Lock()), 1, address=cluster.address)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actors": 0}, "actors is 0: expected 1 or more"),
        ({"actors": 1, "chunk_size": 0}, "chunk_size is 0: expected 1 or more"),
        ({"actors": 1, "tries": 0}, "tries is 0: expected 1 or more"),
        ({"actors": 1, "factory": "model"}, "factory is 'model': expected a function without arguments"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RaySampler(**({"factory": ScriptedSampler} | arguments))
