import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(folder: Path, moment: str = "never", countdown: int = 0) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.search.killed_run", str(folder), moment, str(countdown)]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


def timeless(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "wall"} for row in rows]


def recorded_answers(folder: Path) -> set[tuple[str, str]]:
    """Answers in complete lines of the ledger; its last line may be torn."""
    text = (folder / "run.jsonl").read_text() if (folder / "run.jsonl").exists() else ""
    rows = [json.loads(line) for line in text.split("\n")[1:-1]]
    return {(row["problem"], answer["answer"]) for row in rows for answer in row.get("answers", ())}


def evaluations(folder: Path) -> list[tuple[str, ...]]:
    log = folder / "evaluated.txt"
    return [tuple(line.split("\t")) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert run(folder) == 0
    return timeless(folder)


@pytest.mark.parametrize("case", range(3))
def test_run_killed_at_random_points_resumes_to_the_ledger_of_an_uninterrupted_one(tmp_path, uninterrupted, case):
    rng = random.Random(case)
    deaths = 0
    for moment in rng.sample(["sampling", "evaluating", "torn", "written"], 4):
        known, num_before = recorded_answers(tmp_path), len(evaluations(tmp_path))
        code = run(tmp_path, moment, rng.randint(1, 6 if moment in ("sampling", "evaluating") else 20))
        assert code in (0, -signal.SIGKILL)
        deaths += code != 0
        fresh = evaluations(tmp_path)[num_before:]
        assert not known & set(fresh), "an evaluation in the ledger was paid for again"
    assert deaths >= 2
    known, num_before = recorded_answers(tmp_path), len(evaluations(tmp_path))
    assert run(tmp_path) == 0
    assert timeless(tmp_path) == uninterrupted
    fresh = evaluations(tmp_path)[num_before:]
    assert not known & set(fresh)
    assert len(fresh) == len(set(fresh))
