"""The examples run from an empty folder, and what they say one should see is what there is to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def run(name: str, folder: Path) -> str:
    """What an example prints when it is started in ``folder``, which is empty."""
    command = [sys.executable, "-W", "ignore", str(ROOT / "examples" / f"{name}.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["runs"], "an example writes into runs/ alone"
    return done.stdout


def numbers(line: str) -> list[float]:
    return [float(each) for each in re.findall(r"\d+\.?\d*", line)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_says_what_to_see_and_is_in_the_guide(name: str) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text()
    assert len(text.splitlines()) < 90
    for said in ("You should see", "With a real", f"python {name}.py", "on one core"):
        assert said in text, said
    assert f"examples/{name}.py" in (ROOT / "docs" / "examples.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_vpo_leaves_every_guest_a_better_choice_than_grpo(tmp_path: Path) -> None:
    table = {line[:10].strip(): numbers(line[10:]) for line in run("vpo_with_your_rewards", tmp_path).splitlines()[-3:]}
    (grpo_kinds, *grpo), (vpo_kinds, *vpo) = table["GRPO"], table["VPO"]
    assert table["warm start"][0] == 8 and grpo_kinds <= 4 < vpo_kinds
    assert all(ours > theirs for ours, theirs in zip(vpo, grpo, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_monitor_sees_the_format_win_and_fails_the_pipeline(tmp_path: Path) -> None:
    shown = run("watch_for_collapse", tmp_path)
    shares = [float(each) for each in re.findall(r"largest share of a format ([\d.]+)", shown)]
    assert len(shares) >= 5 and shares[0] < 0.7 < shares[-1]
    assert "evidence 1.00" in shown or re.search(r"evidence [1-9]", shown)
    assert shown.splitlines()[-1] == "exit status 3"
    assert (tmp_path / "runs" / "grpo" / "monitor" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_checkpoint_is_looped_healed_and_stops_by_itself(tmp_path: Path) -> None:
    lines = [line for line in run("loop_a_checkpoint", tmp_path).splitlines() if not line.startswith("{")]
    convert, heal, choose, tokens, loops = lines[-5:]
    assert numbers(convert.partition("up to")[2])[0] == pytest.approx(0, abs=1e-4)
    before, after = numbers(heal.partition("three loops")[2])
    assert after < before / 2
    mean_depth = float(re.search(r"([\d.]+) loops a token", choose)[1])  # type: ignore[index]
    assert 1 < mean_depth < 3
    depths = loops.split()[1:]
    assert len(tokens.split()[3:]) == len(depths) + 1 and len(set(depths)) > 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_goes_on_from_its_ledger_and_keeps_its_budget(tmp_path: Path) -> None:
    stopped, resumed, again = run("search_a_served_policy", tmp_path).splitlines()[-3:]
    spent, budget, answers, scored = (int(each) for each in numbers(stopped)[:4])
    all_spent, _, all_answers, scored_then = (int(each) for each in numbers(resumed)[:4])
    assert spent < all_spent <= budget and answers < all_answers
    assert scored + scored_then <= all_answers and scored_then > 0
    assert "0 scored in this session" in again
    assert again.partition("best")[2] == resumed.partition("best")[2]
