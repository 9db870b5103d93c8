"""The tables of the studies' page are those of the results, and the README says no other figure."""

from __future__ import annotations

import json
import math
import re

import pytest

from tests.checkout import ROOT

PAGE = (ROOT / "docs" / "results.md").read_text()
README = (ROOT / "README.md").read_text()
COLUMNS = ("best@1", "best@3", "best@30", "E_w[3]", "E_w[30]", "L1", "distinct", "valid")


def results(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def standard_error(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def plain(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}f}".removeprefix("0")


def cells(row: dict) -> list[str]:
    """What a row of a table holds: means with standard errors, and the last three without."""
    shown = [f"{plain(row[name]['mean'])} ({plain(standard_error(row[name]['by_seed']))})" for name in COLUMNS[:5]]
    return [*shown, f"{row['L1']['mean']:.2f}", f"{row['distinct']['mean']:.1f}", plain(row["valid"]["mean"])]


def section(heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[0]


@pytest.mark.parametrize(("name", "heading", "columns"), [("maze", "Mazes", 8), ("knapsack-3-seeds", "Knapsacks", 7)])
@pytest.mark.parametrize("arm", ["base", "GRPO", "multi-answer sum", "multi-answer max", "VPO", "VPO for search"])
def test_a_row_of_the_maze_and_knapsack_tables_is_that_of_the_results(
    name: str, heading: str, columns: int, arm: str
) -> None:
    shown = "base (warm start)" if arm == "base" else arm
    found = re.search(rf"^\| {re.escape(shown)} \| (.*) \|$", section(heading), re.MULTILINE)
    assert found is not None
    assert found[1].replace("*", "").split(" | ") == cells(results(name)["metrics"][arm])[:columns]


def test_the_controls_of_the_maze_table_are_those_of_the_results() -> None:
    blind, oracle = results("maze")["blind"], results("maze")["oracle"]
    row = [*(plain(blind[name]) for name in COLUMNS[:5]), f"{blind['L1']:.2f}", f"{blind['distinct']:.0f}"]
    assert f"| *blind: fixed routes, no model* | {' | '.join([*row, plain(blind['valid'])])} |" in PAGE
    best, tastes = plain(oracle["best"]), plain(oracle["E_w"])
    assert f"| *oracle: all routes* | {best} | {best} | {best} | {tastes} | {tastes} | | | |" in PAGE


@pytest.mark.parametrize(
    ("shown", "depth"),
    [
        ("fixed cap of 4", "fixed cap"),
        ("chosen depth, replayed", "chosen, replayed"),
        ("chosen depth, replay off", "chosen, replay off"),
    ],
)
def test_the_table_of_training_at_chosen_depth_is_that_of_the_results(shown: str, depth: str) -> None:
    expected = []
    for objective in ("GRPO", "VPO"):
        runs = [run for run in results("depth_rl")["runs"] if (run["objective"], run["depth"]) == (objective, depth)]
        rewards, loops, gaps = [], [], []
        for curve in (run["curve"] for run in runs):
            steps = zip(curve["tokens"], curve["reward"], strict=True)
            last = [reward for tokens, reward in steps if tokens >= 0.9 * curve["tokens"][-1]]
            rewards.append(sum(last) / len(last))
            loops.append(sum(curve["depth"]) / len(curve["depth"]))
            gaps += [gap for gap in curve["gap"] if gap is not None]
        expected.append(f"{plain(sum(rewards) / 3)} ({plain(standard_error(rewards))})")
        mean, error = sum(loops) / 3, standard_error(loops)
        expected.append("4" if depth == "fixed cap" else f"{mean:.1f} ({plain(error, 1)})")
        expected.append(f"{max(gaps):.1f}" if max(gaps) > 0.1 else f"{max(gaps):.0e}".replace("e-0", "e-"))
    assert f"| {shown} | {' | '.join(expected)} |" in PAGE


def test_the_end_of_the_searches_is_that_of_the_results() -> None:
    figures = results("search_policies")["figures"]
    ends = [figures[f"{arm} / best-of-n"]["best"] for arm in ("GRPO", "VPO", "VPO for search", "base")]
    grpo, vpo, tuned, base = (f"{plain(mean)} ({plain(error)})" for mean, error in ends)
    said = (
        f"Best-of-n ends at {grpo} with GRPO's, {vpo} with VPO's, {tuned} with *VPO for search*, {base} with the base."
    )
    assert said in " ".join(PAGE.split())


def test_the_readme_says_what_the_studies_say() -> None:
    metrics = results("maze")["metrics"]
    for arm, words in {
        "VPO": "VPO\nreaches {} +- {}",
        "GRPO": "GRPO {} +- {}",
        "base": "the base before RL {} +- {}",
    }.items():
        row = metrics[arm]["E_w[3]"]
        assert words.format(plain(row["mean"]), plain(standard_error(row["by_seed"]))) in README, arm
    one = [plain(metrics[arm]["best@1"]["mean"]) for arm in ("GRPO", "VPO")]
    assert f"GRPO is ahead, {one[0]} to VPO's {one[1]}" in README
    apart = metrics["VPO"]["L1"]["mean"] / metrics["GRPO"]["L1"]["mean"]
    assert 4.5 < apart < 5.5 and "about 5 times as far apart" in README
