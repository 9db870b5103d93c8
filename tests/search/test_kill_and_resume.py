import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from search.ledger import read_results, read_told
from tests.search.killed_run import IN_ROUNDS, OPTIONS

ROOT = Path(__file__).parents[2]
DRIVERS = list(OPTIONS)
MOMENTS = ["sampling", "evaluating", "torn", "written"]


@pytest.fixture(scope="module")
def run():
    """Lets a search live in a folder of its own, until it is done or kills itself; gives the exit status."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.search.killed_run"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, cwd=ROOT, **pipes) as nursery:

        def live(folder: Path, driver: str, moment: str = "never", countdown: int = 0) -> int:
            folder.mkdir(exist_ok=True)
            life = {"folder": str(folder), "driver": driver, "moment": moment, "countdown": countdown}
            nursery.stdin.write(json.dumps(life) + "\n")
            nursery.stdin.flush()
            return int(nursery.stdout.readline())

        yield live
        nursery.stdin.close()


@pytest.fixture(scope="module")
def uninterrupted(run, tmp_path_factory):
    """Folder of a run of each driver that nothing interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    for driver in DRIVERS:
        assert run(folder / driver, driver) == 0
    return folder


def timeless(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "wall"} for row in rows]


def in_order(folder: Path) -> list[dict]:
    return sorted(timeless(folder)[1:], key=lambda row: json.dumps(row, sort_keys=True))


def recorded(folder: Path) -> tuple[set[str], set[str]]:
    """(problem and answer, seed) of the complete lines of the ledger; its last line may be torn."""
    text = (folder / "run.jsonl").read_text() if (folder / "run.jsonl").exists() else ""
    rows = [json.loads(line) for line in text.split("\n")[1:-1]]
    answers = {f"{row['problem']}\t{answer['answer']}" for row in rows for answer in row.get("answers", ())}
    return answers, {str(row["seed"]) for row in rows if row["kind"] == "generation"}


def lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines() if (folder / name).exists() else []


def live_on(run, folder: Path, driver: str, moment: str = "never", countdown: int = 0) -> int:
    """One more life, in which nothing may be paid for again that an earlier one had written down."""
    answers, seeds = recorded(folder)
    num_evaluated, num_sent = len(lines(folder, "evaluated.txt")), len(lines(folder, "sent.txt"))
    code = run(folder, driver, moment, countdown)
    evaluated, sent = lines(folder, "evaluated.txt")[num_evaluated:], lines(folder, "sent.txt")[num_sent:]
    assert not answers & set(evaluated), "an evaluation in the ledger was paid for again"
    assert not seeds & set(sent), "tokens in the ledger were paid for again"
    assert max(Counter(evaluated).values(), default=1) == 1
    assert max(Counter(sent).values(), default=1) == 1
    return code


@pytest.mark.parametrize("driver", DRIVERS)
def test_run_killed_again_and_again_ends_as_if_it_had_not_been(run, uninterrupted, tmp_path, driver):
    rng = random.Random(driver)
    deaths = 0
    num_cases = 4 if "screened" in driver else 8  # predictions take their time
    for case in range(num_cases):
        folder = tmp_path / str(case)
        for _ in range(40):
            moment = rng.choice(MOMENTS)
            few = driver in IN_ROUNDS and moment in ("sampling", "evaluating")  # once a round or so
            code = live_on(run, folder, driver, moment, rng.randint(1, 5 if few else 25))
            if code == 0:
                break
            assert code == -signal.SIGKILL
            deaths += 1
        else:
            assert live_on(run, folder, driver) == 0
        results = read_results(folder / "run.jsonl")
        charged = [row["completion_tokens"] for row in timeless(folder) if row.get("kind") == "generation"]
        if driver == "unordered":
            # Every run tells in an order of its own; the ledger must fold to what that run told
            assert live_on(run, folder, driver) == 0
            assert read_results(folder / "run.jsonl") == results
        else:
            assert results == read_results(uninterrupted / driver / "run.jsonl")
        if driver in ("rounds", "ordered", "screened", "screened stream"):
            assert in_order(folder) == in_order(uninterrupted / driver)
        if driver != "solving":  # there, siblings that were cut off are charged apart
            assert sum(charged) == sum(result.completion_tokens[-1] for result in results)
    assert deaths >= 2.5 * num_cases


@pytest.mark.parametrize("driver", ["screened", "screened stream"])
def test_killed_searches_with_a_screen_drop_and_audit_answers_and_are_switched(uninterrupted, driver):
    rows = timeless(uninterrupted / driver)
    verdicts = {(each["on"], each["verdict"]) for row in rows for each in row.get("screen", ())}
    assert verdicts >= {(True, "keep"), (True, "audit"), (True, "drop"), (False, "drop")}
    assert {row["on"] for row in rows if row.get("kind") == "switch"} == {False}


def test_archive_in_order_is_that_of_the_results_in_the_ledger(uninterrupted):
    told = read_told(uninterrupted / "ordered" / "run.jsonl")
    assert all([r.number for r in each.results] == list(range(len(each.results))) for each in told)
    rows = timeless(uninterrupted / "ordered")
    arrivals = [row["number"] for row in rows if row.get("kind") == "evaluation" and row["problem"] == "toy-0"]
    assert arrivals != sorted(arrivals), "nothing arrived out of order, so nothing was put in order"
