"""The crew with actors that are threads here: every piece of work is answered once, whoever dies in the middle."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.cluster.company import Company, DeathError, Double, Thread
from tests.vpo.sandbox.onlookers import wait_until
from vpo.cluster import crew as crew_module


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def companies() -> Iterator[list[Company]]:
    made: list[Company] = []
    yield made
    for company in made:
        company.crew.close()


def double(actor: Thread, number: int) -> int:
    return 2 * number


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), num_places=st.integers(1, 4), num_works=st.integers(0, 60))
def test_whoever_dies_every_piece_of_work_is_answered_once_and_right(
    seed: int, num_places: int, num_works: int
) -> None:
    random_ = random.Random(seed)
    deaths = [random_.randrange(num_works) for _ in range(random_.randrange(4))] if num_works else []
    losses = [random_.randrange(num_works) for _ in range(random_.randrange(6))] if num_works else []
    lock = threading.Lock()

    def act(actor: Thread, number: int) -> Any:
        with lock:
            if number in deaths:
                deaths.remove(number)
                raise DeathError("killed")
            if number in losses:
                losses.remove(number)
                return "lost"
        return 2 * number

    # Nobody can be refused: that takes three deaths in a row at a place
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crew_module, "_LOOK_SECONDS", 0.02)
        patch.setattr(crew_module, "_DEATHS", 100)
        company = Company(act, *map(str, range(num_places)), tries=100)
        works = [Double(number) for number in range(num_works)]
        futures = [company.crew.submit(work) for work in works]
        assert [future.result(timeout=20) for future in futures] == [2 * number for number in range(num_works)]
        company.crew.close()
    assert [work.num_read for work in works] == [1] * num_works
    assert not deaths and not losses
    assert all(thread.most <= thread.slots for threads in company.hired.values() for thread in threads)
    assert all(thread.ends for threads in company.hired.values() for thread in threads)


def test_who_sees_that_a_place_is_gone_finds_the_reason_in_the_log(
    companies: list[Company], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], bool]] = []
    end = Thread.end

    def watched(actor: Thread) -> None:
        lines = [record.getMessage() for record in caplog.records]
        seen.append((company.crew.places, any("lost an actor with 1 calls" in line for line in lines)))
        end(actor)

    def act(actor: Thread, number: int) -> int:
        raise DeathError("killed")

    monkeypatch.setattr(Thread, "end", watched)
    companies.append(company := Company(act, "one", tries=1))
    company.crew.wait_until_ready()
    with caplog.at_level(logging.WARNING, crew_module.__name__), pytest.raises(RuntimeError, match=r"killed|it died"):
        company.crew.submit(Double(1)).result(timeout=20)
    assert seen[0] == ([], True)


def test_a_slow_member_gets_less(companies: list[Company]) -> None:
    def act(actor: Thread, number: int) -> int:
        time.sleep(0.1 if actor.name == "slow" else 0.005)
        return 2 * number

    companies.append(company := Company(act, "slow", "fast"))
    company.crew.wait_until_ready()
    for future in [company.crew.submit(Double(number)) for number in range(60)]:
        future.result(timeout=20)
    assert len(company.calls("slow")) < 15 < len(company.calls("fast"))
    assert sorted(company.calls("slow") + company.calls("fast")) == list(range(60))


def test_lost_work_waits_for_another_member_rather_than_go_back(companies: list[Company]) -> None:
    def act(actor: Thread, number: int) -> Any:
        time.sleep(0 if actor.name == "sick" else 0.02)
        return "lost" if actor.name == "sick" else 2 * number

    companies.append(company := Company(act, "sick", "well", tries=2))
    company.crew.wait_until_ready()
    futures = [company.crew.submit(Double(number)) for number in range(30)]
    assert [future.result(timeout=20) for future in futures] == [2 * number for number in range(30)]
    # Three failures in a row and it is replaced, three such replacements and it is not used any more
    assert len(company.hired["sick"]) == 3
    assert "actors in a row were lost" in str(company.crew.refused["sick"])


def test_work_that_kills_every_actor_is_given_up_and_the_others_are_done(companies: list[Company]) -> None:
    def act(actor: Thread, number: int) -> int:
        if number == 13:
            raise DeathError("13 is deadly")
        return 2 * number

    companies.append(company := Company(act, "a", "b"))
    futures = [company.crew.submit(Double(number)) for number in range(30)]
    with pytest.raises(RuntimeError, match=r"lost 3 times, the last time by .: it"):
        futures[13].result(timeout=20)
    assert [future.result(timeout=20) for future in futures if future is not futures[13]] == [
        2 * number for number in range(30) if number != 13
    ]


def test_what_the_work_itself_raises_is_the_callers_and_is_not_tried_again(companies: list[Company]) -> None:
    def act(actor: Thread, number: int) -> int:
        raise KeyError(number)

    companies.append(company := Company(act, "a", "b"))
    with pytest.raises(KeyError):
        company.crew.submit(Double(7)).result(timeout=20)
    with pytest.raises(ValueError, match="a negative number cannot be sent"):
        company.crew.submit(Double(-1)).result(timeout=20)
    assert company.calls("a") + company.calls("b") == [7]


def test_places_that_come_are_used_and_those_that_go_lose_their_work_to_others(companies: list[Company]) -> None:
    gate = threading.Event()

    def act(actor: Thread, number: int) -> int:
        if actor.name == "old":
            gate.wait(20)  # a node that has lost its network: no error, no answer
        return 2 * number

    companies.append(company := Company(act, "old"))
    futures = [company.crew.submit(Double(number)) for number in range(6)]
    assert wait_until(lambda: "old" in company.hired and len(company.calls("old")) == 2)
    company.places.append("new")
    assert [future.result(timeout=20) for future in futures[2:]] == [4, 6, 8, 10]
    assert not futures[0].done()
    company.places.remove("old")
    assert [future.result(timeout=20) for future in futures[:2]] == [0, 2]
    gate.set()
    assert Counter(company.calls("old") + company.calls("new")) == Counter([0, 0, 1, 1, 2, 3, 4, 5])


def test_a_member_that_does_not_answer_is_replaced(companies: list[Company]) -> None:
    gate = threading.Event()
    hung: list[int] = []

    def act(actor: Thread, number: int) -> int:
        if not hung:
            hung.append(number)
            gate.wait(20)
        return 2 * number

    companies.append(company := Company(act, "a"))
    assert company.crew.submit(Double(4, seconds=0.3)).result(timeout=20) == 8
    gate.set()
    assert company.calls("a") == [4, 4] and len(company.hired["a"]) == 2


def test_closing_gives_up_what_runs_and_cancels_what_waits(companies: list[Company]) -> None:
    gate = threading.Event()

    def act(actor: Thread, number: int) -> int:
        gate.wait(20)
        return 2 * number

    companies.append(company := Company(act, "a"))
    futures = [company.crew.submit(Double(number)) for number in range(4)]
    assert wait_until(lambda: "a" in company.hired and len(company.calls("a")) == 2)
    company.crew.close()
    for future in futures[:2]:
        with pytest.raises(RuntimeError, match="ended by close"):
            future.result(timeout=5)
    for future in futures[2:]:
        with pytest.raises(CancelledError):
            future.result(timeout=5)
    gate.set()
    with pytest.raises(RuntimeError, match="ended by close"):
        company.crew.submit(Double(1))


def test_work_that_its_caller_cancelled_is_not_sent(companies: list[Company]) -> None:
    gate = threading.Event()

    def act(actor: Thread, number: int) -> int:
        gate.wait(20)
        return 2 * number

    companies.append(company := Company(act, "a"))
    futures = [company.crew.submit(Double(number)) for number in range(4)]
    assert wait_until(lambda: "a" in company.hired and len(company.calls("a")) == 2)
    assert futures[2].cancel()
    gate.set()
    assert futures[3].result(timeout=20) == 6
    assert company.calls("a") == [0, 1, 3]


def test_a_member_that_says_it_cannot_begin_is_an_error_at_once(companies: list[Company]) -> None:
    companies.append(company := Company(double, "a", starts=lambda: "no"))
    with pytest.raises(ValueError, match="a says no"):
        company.crew.wait_until_ready()


def test_a_member_that_is_never_ready_is_an_error_in_time(companies: list[Company]) -> None:
    gate = threading.Event()
    companies.append(company := Company(double, "a", starts=lambda: gate.wait(20) and "ready", start_seconds=0.1))
    with pytest.raises(TimeoutError, match=r"a was not ready in 0\.1 s: expected CPUs"):
        company.crew.wait_until_ready()
    gate.set()


def test_a_member_that_dies_while_it_starts_gets_three_tries(companies: list[Company]) -> None:
    starts: list[int] = []

    def start() -> str:
        starts.append(1)
        if len(starts) < 3:
            raise DeathError("not yet")
        return "ready"

    companies.append(company := Company(double, "a", starts=start))
    assert company.crew.submit(Double(2)).result(timeout=20) == 4
    assert len(starts) == 3


def test_without_a_place_there_is_an_error_and_without_patience_too(companies: list[Company]) -> None:
    companies.append(company := Company(double, patience_seconds=0.1))
    with pytest.raises(RuntimeError, match="there is no place for an actor"):
        company.crew.wait_until_ready()
    with pytest.raises(RuntimeError, match="there is nobody to do it"):
        company.crew.submit(Double(1)).result(timeout=20)


def test_a_crew_that_cannot_grow_does_not_wait_for_others(companies: list[Company]) -> None:
    def act(actor: Thread, number: int) -> int:
        raise DeathError("always")

    companies.append(company := Company(act, "a", patience_seconds=1000, grows=False))
    futures = [company.crew.submit(Double(number)) for number in range(5)]
    errors = [str(future.exception(timeout=20)) for future in futures]
    assert "lost 3 times" in errors[0]
    assert "there is nobody to do it (3 actors in a row were lost, the last one a: it" in errors[4]


def test_when_the_machinery_breaks_nobody_waits_for_ever(companies: list[Company]) -> None:
    companies.append(company := Company(lambda actor, number: time.sleep(1), "a"))
    company.crew.wait_until_ready()
    futures = [company.crew.submit(Double(number)) for number in range(5)]
    company.places = None  # type: ignore[assignment]  # the next look raises
    for future in futures:
        with pytest.raises(RuntimeError, match="the actors are gone: TypeError"):
            future.result(timeout=20)
    with pytest.raises(RuntimeError, match="the actors are gone"):
        company.crew.submit(Double(1))
