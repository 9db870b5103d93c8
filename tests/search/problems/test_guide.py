"""The guide runs from top to bottom, and its table says what the problems say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from search.problems import get_problems, list_problems
from vpo.tasks import list_tasks

GUIDE = (Path(__file__).parents[3] / "docs" / "problems.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_the_examples_run_one_after_the_other(tmp_path, monkeypatch, capsys, box):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "docs/problems.md", "exec"), names)
    printed = capsys.readouterr().out
    assert len(BLOCKS) == 5 and "circle_packing-26 2.16666" in printed
    assert names["bridged"].evaluate(["def f():\n    return 7"])[0].vector == (0.7, -0.1)
    assert "Scores: sum_radii_26 = 2.5" in printed and printed.rstrip().endswith("</program_3>")


@pytest.mark.parametrize("name", [name for name in list_problems() if name not in ("openevolve", *list_tasks())])
def test_the_table_says_what_the_problem_says(name):
    (row,) = re.findall(rf"^\| `{name}` \|.*$", GUIDE, re.MULTILINE)
    (problem,) = get_problems(name)
    known = re.search(r"[0-9.]+", row.split("|")[5]).group()
    assert problem.best_known.scalar == pytest.approx(float(known), abs=1e-9)
    assert ("uniform" in row) == (len(set(problem.w_star)) == 1 and "heilbronn" not in name)
    entry = re.search(r"`(\w+)\(", row.split("|")[2]).group(1)
    assert f"def {entry}(" in problem.seed_program
