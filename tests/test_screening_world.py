"""The parts of benchmarks/screening_world.py: its policy, its controls, what it calls saved."""

from __future__ import annotations

import json
import random
import sys

import numpy as np
import pytest

from tests.checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from maze_screen.foresight import AnotherAnswer, Foresight, arrival, real
from maze_screen.mazes import CountedMaze, cells_of, draw, walk_on
from maze_screen.models import KINDS
from maze_screen.searching import ARMS, PROCEDURES, figures
from screening_world import COLUMNS

from vpo.tasks.maze.routes import walk, write_route


@pytest.fixture(scope="module")
def problem() -> CountedMaze:
    return CountedMaze(draw("test", 1, 1)[0])


def test_the_policy_is_a_function_of_its_request_and_goes_on_from_a_prefix(problem: CountedMaze) -> None:
    prompt = problem.prompt
    routes = [problem.write(prompt, "", seed) for seed in range(50)]
    assert routes == [problem.write(prompt, "", seed) for seed in range(50)] and len(set(routes)) > 25
    parent = max(routes, key=lambda route: len(walk(route, problem.maze, "cells").cells))
    prefix = problem._task.mutation_prefix(parent, problem.row, random.Random(0), 1)
    assert prefix and parent.startswith(prefix)
    children = [prefix + problem.write(prompt, prefix, seed) for seed in range(20)]
    assert len(set(children)) > 5
    legal = cells_of(prefix)
    assert all(list(walk(child, problem.maze, "cells").cells[: len(legal)]) == legal for child in children)


def test_a_route_ends_at_the_exit_in_a_wall_or_with_the_budget(problem: CountedMaze) -> None:
    maze = problem.maze
    ends = set()
    for seed in range(300):
        cells = walk_on(maze, [], random.Random(seed))
        assert cells_of(write_route(cells, "cells")) == cells and len(cells) <= maze.budget
        assert all(cell != maze.exit and cell not in maze.walls for cell in cells[:-1])
        assert all(0 <= row < maze.size and 0 <= column < maze.size for row, column in cells)
        ends.add("exit" if cells[-1] == maze.exit else "wall" if cells[-1] in maze.walls else "budget")
    assert ends == {"exit", "wall", "budget"}


def test_evaluations_are_counted_and_scores_off_the_record_are_not(problem: CountedMaze) -> None:
    counted = CountedMaze(problem.maze)
    counted.score("b1")
    assert counted.evaluated == []
    assert counted.evaluate(["b1", "a2"]) == [counted.score("b1"), counted.score("a2")]
    assert counted.evaluated == ["b1", "a2"]


def test_controls_foresee_what_their_names_say(problem: CountedMaze) -> None:
    routes = [problem.write(problem.prompt, "", seed) for seed in range(40)]
    truth = np.array([problem.score(route) for route in routes])
    assert np.array_equal(Foresight(real(problem)).predict(problem, routes)[0], truth)
    alone = Foresight(arrival(problem)).predict(problem, routes)[0]
    assert np.array_equal(alone[:, 0], truth[:, 0]) and not alone[:, 1:].any() and truth[:, 1:].any()
    mean, spread = Foresight(real(problem), lambda answers: 0 * real(problem)(answers)).predict(problem, routes)
    assert np.allclose(mean, truth / 2) and spread is not None and np.allclose(spread, truth / 2)
    shuffled = AnotherAnswer(real(problem))
    shuffled.update(problem, routes[:20], truth[:20])
    found = shuffled.predict(problem, routes)[0]
    assert np.array_equal(found, shuffled.predict(problem, routes)[0])
    assert not np.array_equal(found, truth) and all(any(np.array_equal(row, t) for t in truth[:20]) for row in found)


def test_a_search_that_finds_the_same_in_half_the_evaluations_has_saved_half() -> None:
    at = 100
    steps = np.arange(1, 3 * at + 1) / (3 * at)
    plain = np.broadcast_to(steps, (2, 4, 3, 3 * at))
    found = {
        "plain": plain[..., :at],
        "twice as fast": plain[..., 1 : 2 * at : 2],
        "half as fast": np.repeat(plain[..., : at // 2], 2, axis=-1),
        "repeats": plain,
    }
    summary = figures(found, at)
    assert summary["plain"]["saved"] == 0.0 and summary["plain"]["needed"] == at
    assert summary["twice as fast"]["saved"] == pytest.approx(0.5, abs=0.01)
    assert summary["twice as fast"]["needed"] == at // 2
    assert summary["half as fast"]["saved"] == pytest.approx(-1.0, abs=0.05)
    assert summary["half as fast"]["needed"] is None
    assert summary["twice as fast"]["se"] == 0.0 and len(summary["plain"]["by_seed"]) == 3


# --- the guide's figures ----------------------------------------------------------------------------------------------

CONTROLS = ("untrained", "reverse", "another answer", "another maze")
GUIDE = (ROOT / "docs" / "screening.md").read_text()
FACTS = json.loads((ROOT / "benchmarks" / "results" / "screening_world.json").read_text())


def percent(share: float) -> str:
    return f"{100 * share:.0f}%".replace("-0%", "0%")


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "plain"])
def test_the_guides_row_of_an_arm_is_what_was_measured(arm: str) -> None:
    figures = [FACTS["summary"][name][arm] for name in (*PROCEDURES, "both")]
    cells = [f"{percent(each['saved'])} ± {percent(each['se'])}" for each in figures]
    both = figures[-1]
    cells += [str(both["needed"] or "never"), f"{both['completions']:.0f}", percent(both["on"]), percent(both["off"])]
    assert f"| {arm} | {' | '.join(cells)} |" in GUIDE


@pytest.mark.parametrize("kind", KINDS)
def test_the_guides_row_of_a_model_is_what_was_measured(kind: str) -> None:
    each = FACTS["models"][kind]
    cells = [f"{np.mean(each[key]):.2f} ({min(each[key]):.2f} to {max(each[key]):.2f})" for key in COLUMNS]
    assert f"| {kind} | {' | '.join(cells)} |" in GUIDE


def test_the_guide_says_what_a_world_model_costs_and_when_it_is_back() -> None:
    study, policy = FACTS["study"], FACTS["policy"]
    said = " ".join(GUIDE.split())
    assert f"{FACTS['spent']:,} evaluations" in said and f"{study['evaluations']} evaluations" in said
    assert f"after {FACTS['break_even']['both']:.0f} searches" in said
    assert f"{percent(policy['arrives'])} of its routes arrive" in said


def test_the_guide_says_how_far_the_targets_are() -> None:
    said, both = " ".join(GUIDE.split()), FACTS["summary"]["both"]
    trusted = {name: FACTS["summary"][name]["looped, trusted"] for name in (*PROCEDURES, "both")}
    for name, opening in (("best of n", "the looped model saves"), ("lexicase", "Under lexicase evolution it saves")):
        assert f"{opening} {percent(trusted[name]['saved'])}" in said
    assert f"over both {100 * trusted['both']['saved']:.1f}% ({percent(trusted['both']['se'])}), which is short" in said
    first, second, third = map(percent, trusted["both"]["by_seed"])
    assert f"By seed, over both: {first}, {second} and {third}." in said
    assert f"after {both['looped']['on_at']:.0f} of {FACTS['study']['evaluations']} evaluations (median)" in said
    lost = [percent(-both[f"{arm}, trusted"]["saved"]) for arm in CONTROLS]
    assert f"lost {', '.join(lost[:3])} and {lost[3]}" in said
    assert both["untrained"]["on"] == both["another answer"]["on"] == 0
    pairs = zip(both["looped, trusted"]["by_seed"], both["one loop, trusted"]["by_seed"], strict=True)
    assert all(looped > once for looped, once in pairs)
