"""The recipe for a real model on two cores: its task, and its small size with the real SmolLM2."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.smollm2 import smollm2_fixture  # noqa: F401
from vpo.answers import AnswerFormat
from vpo.tasks import get_task
from vpo.tasks.own import load_file

ROOT = Path(__file__).parents[2]
FILE = ROOT / "recipes" / "countdown.py"
countdown = load_file(FILE)
ROW = {"numbers": [8, 17, 19], "target": 44, "expression": "8 + 17 + 19"}


@pytest.mark.parametrize(
    ("answer", "vector"),
    [
        ("8 + 17 + 19", (1, 1, 1, 1)),
        ("19+(17+8)", (1, 1, 1, 1)),
        ("44", (1, 0, 0, 0)),  # the target is not made of the numbers
        ("17 + 19 + 8 + 0", (1, 6 / 7, 0, 0)),  # nor with one more
        ("19 + 17", (1, 0.8, 0, 0)),
        ("19 + 17 + 17", (1, 2 / 3, 0, 0)),
        ("8 + 17 - 19", (1, 1, 6 / 44, 0)),
        ("8 * 17 * 19", (1, 1, 0, 0)),
        ("8 - 17 / 19", (1, 1, (8 - 17 / 19) / 44, 0)),
        ("8 / (17 - 17)", (0, 0, 0, 0)),
        ("8 ** 17", (0, 0, 0, 0)),
        ("8 // 17", (0, 0, 0, 0)),
        ("-8 + 52", (0, 0, 0, 0)),  # a sign is no part of the game
        ("eight", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
        ("(" * 30 + "8" + ")" * 30, (0, 0, 0, 0)),
    ],
)
def test_an_expression_earns_by_what_it_gets_right(answer, vector):
    assert get_task(str(FILE)).score(answer, ROW) == pytest.approx(vector)


@given(st.text(alphabet="0123456789+-*/() .a\n", max_size=80))
def test_no_text_breaks_the_score_or_leaves_the_unit_interval(answer):
    vector = countdown.countdown(answer, ROW)
    assert all(0 <= value <= 1 for value in vector)
    assert vector[3] == 0 or vector == (1, 1, 1, 1)


def test_questions_can_be_answered_and_those_of_the_splits_never_meet():
    train, test = (list(islice(countdown.rows(split), 200)) for split in ("train", "test"))
    assert all(countdown.countdown(row["expression"], row) == (1, 1, 1, 1) for row in test)
    asked = [[(*sorted(row["numbers"]), row["target"]) for row in rows] for rows in (train, test)]
    assert len(set(asked[0])) == 200
    assert not set(asked[0]) & set(asked[1])


def test_what_the_form_is_learned_from_is_read_as_answers_and_gives_no_solution_away():
    form, hits = AnswerFormat(countdown.NUM_ANSWERS, countdown.TAG), []
    rows = islice(countdown.rows("train"), 200)
    for (prompt, completion), row in zip(countdown.examples("train", 200, 0), rows, strict=True):
        assert prompt == countdown.prompt(row)
        answers = form.parse(completion).answers
        assert len(answers) == countdown.NUM_ANSWERS
        vectors = [countdown.countdown(answer, row) for answer in answers]
        assert all(vector[:2] == (1, 1) or vector == (0, 0, 0, 0) for vector in vectors)  # all but a division by 0
        hits += [vector[3] for vector in vectors]
    assert sum(hits) / len(hits) < 0.1  # by chance alone
    rng = random.Random(0)
    assert "**" not in "".join(countdown.random_expression([1, 2, 3], rng) for _ in range(100))


@pytest.mark.slow
def test_its_small_size_takes_the_real_model_through_every_stage(smollm2, tmp_path):
    sets = ["model.wheel=null", f"model.name={smollm2.folder}", f"out={tmp_path / 'run'}"]
    words = [word for each in sets for word in ("--set", each)]
    program = "import sys; from vpo.cli.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "pipeline", "recipes/smollm2_cpu.yaml", "--smoke", *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["policies"]) == {"source", "healed", "trained"}
    assert summary["training"]["steps"] == 2
    assert summary["search"]["table"].keys() == {"healed / best-of-n", "trained / best-of-n"}
