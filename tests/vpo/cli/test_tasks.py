from __future__ import annotations

import json

import pytest

from tests.vpo.tasks.task_rows import musique_row, write_rows
from vpo.cli.app import main


def test_list_names_the_tasks_and_their_components(capsys):
    assert main(["tasks", "list"]) == 0
    said = capsys.readouterr().out
    for word in (
        "maze",
        "musique",
        "eureqa",
        "toolrl",
        "code",
        "hop_1",
        "entity_E",
        "format_mixture",
        "reasoning_gym",
        "test_1 to test_16",
        "<response_i>",
    ):
        assert word in said


def test_check_reports_ranges_references_and_geometry(tmp_path, capsys):
    write_rows(tmp_path / "train.jsonl", [musique_row(hops, i) for i, hops in enumerate((2, 3, 4))])
    assert main(["tasks", "check", "musique", "-o", f"path={tmp_path}", "--rows", "2"]) == 0
    said = capsys.readouterr().out
    assert "to 2 rows of 'train'" in said
    assert "answer_f1    0 to 1" in said
    assert "2 of 2 reference answers earn full marks" in said
    assert "effective rank" in said
    assert said.endswith("fit to train on\n")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("reasoning_gym:spell_backward", ["-o", 'config={"max_word_len": 5}']),
        ("format_mixture", ["-o", "num_steps=3", "-o", 'error_rates={"prose": 0.5}']),
        ("maze", ["-o", "reward=convex_bonus", "-o", 'maze={"bonus": true, "num_lava": 2}']),
    ],
)
def test_tasks_that_make_their_rows_are_checked_with_options(name, options, capsys):
    assert main(["tasks", "check", name, *options, "--rows", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{name}: ") and said.endswith("fit to train on\n")


def test_check_of_a_task_of_ones_own_that_fails_ends_with_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "from vpo.tasks import task\n"
        "@task(components=['a'], data='rows.jsonl')\n"
        "def mine(answer, row):\n"
        "    return 1 / len(answer)\n"
    )
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "p"}))
    monkeypatch.chdir(tmp_path)
    assert main(["tasks", "check", "mine.py"]) == 1
    assert "FAILED: score raised ZeroDivisionError for nothing" in capsys.readouterr().out


def test_many_failures_of_one_cause_are_not_all_shown(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "from vpo.tasks import task\n"
        "@task(components=['a'], data='rows.jsonl')\n"
        "def mine(answer, row):\n"
        "    raise ValueError\n"
    )
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "p"}))
    monkeypatch.chdir(tmp_path)
    assert main(["tasks", "check", "mine.py"]) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED:") == 12
    assert "more" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["musique", "-o", "path"], "--option is 'path': expected name=value"),
        (["code", "-o", "max_tests=0"], "max_tests is 0"),
        (["chess"], "there is no task 'chess'"),
        (["reasoning_gym"], "no generator is named: expected reasoning_gym:NAME"),
        (["reasoning_gym:chess"], "reasoning-gym has no generator 'chess'"),
        (["reasoning_gym:gcd", "-o", 'config={"x": 1}'], "gcd has no option 'x'"),
        (["format_mixture", "-o", 'mixture={"python": 0.5}'], "sums to 0.5"),
    ],
)
def test_what_does_not_fit_is_one_message(arguments, message, capsys):
    assert main(["tasks", "check", *arguments]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_rows_that_offer_no_choice_are_reported_in_words_and_not_as_nan(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "from vpo.tasks import task\n"
        "@task(components=['a', 'b'], data='rows.jsonl', answer='answer')\n"
        "def mine(answer, row):\n"
        "    return 1.0, 1.0\n"
    )
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "p", "answer": "x y"}))
    monkeypatch.chdir(tmp_path)
    assert main(["tasks", "check", "mine.py"]) == 0
    said = capsys.readouterr().out
    assert "no prompt offered a choice" in said and "nan" not in said.lower()
