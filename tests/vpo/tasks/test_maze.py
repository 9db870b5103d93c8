"""The maze: what the generator promises, what a route earns, and the controls."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.tasks import get_task
from vpo.tasks.controls import best_blind_set, reward_table
from vpo.tasks.maze.controls import oracle_front
from vpo.tasks.maze.drawing import draw_routes
from vpo.tasks.maze.grid import Maze, MazeConfig, distances, mazes
from vpo.tasks.maze.routes import (
    cell_name,
    random_route,
    reward_vector,
    route_kind,
    score_route,
    teacher_route,
    walk,
    write_route,
)
from vpo.tasks.maze.task import MazeTask

CONFIGS = [MazeConfig(), MazeConfig(size=6, max_budget=16), MazeConfig(size=9, wall_share=0.15, max_budget=None)]

#  S . . G        a1 b1 c1 d1
#  # . L G        a2 b2 c2 d2
#  D . # .        a3 b3 c3 d3
#  D . . E        a4 b4 c4 d4
HAND = Maze(
    size=4,
    walls=frozenset({(1, 0), (2, 2)}),
    gold=frozenset({(0, 3), (1, 3)}),
    diamonds=frozenset({(2, 0), (3, 0)}),
    lava=frozenset({(1, 2)}),
    budget=8,
)


def brute_force_routes(maze: Maze):
    """Every walk that ends at the exit within the budget."""
    stack = [(maze.start, ())]
    while stack:
        cell, path = stack.pop()
        if cell == maze.exit:
            yield path
        elif len(path) < maze.budget:
            stack.extend((n, (*path, n)) for n in maze.neighbours[cell])


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("b1 c1 d1 d2 d3 d4", (1, 1, 0, 1)),  # both gold cells, no lava
        ("b1 b2 b3 b4 c4 d4", (1, 0, 0, 1)),
        ("b1 b2 b3 a3 a4 b4 c4 d4", (1, 0, 1, 1)),  # eight steps: just within the budget
        ("b1 c1 c2 d2 d3 d4", (1, 0.5, 0, 0)),  # through the lava
        ("b1 b2 b3 a3 a4 b4 c4", (0, 0, 0, 0)),  # stops before the exit
        ("b1 b2 b1 b2 b3 a3 b3 b4 c4 d4", (0, 0, 0, 0)),  # ten steps
        ("a2 b2 b3 b4 c4 d4", (0, 0, 0, 0)),  # into a wall at once
        ("b1 b2 b3 c3 c4 d4", (0, 0, 0, 0)),  # into a wall later
        ("c1 d1 d2 d3 d4", (0, 0, 0, 0)),  # not adjacent
        ("b1 c1 d1 d2 d3 d4 c4 b4 b3", (1, 1, 0, 1)),  # what follows the exit is not read
        ("b1 c1 hello d1", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_hand_computed_rewards(route, expected):
    assert score_route(route, HAND, "cells") == pytest.approx(expected)


def test_moves_and_cells_say_the_same():
    cells = [(0, 1), (1, 1), (2, 1), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3)]
    assert write_route(cells, "moves") == "R D D L D R R R"
    assert write_route(cells, "cells") == "b1 b2 b3 a3 a4 b4 c4 d4"
    assert score_route("R D D L D R R R", HAND, "moves") == score_route("b1 b2 b3 a3 a4 b4 c4 d4", HAND, "cells")
    assert score_route("D D", HAND, "moves") == (0, 0, 0, 0)
    assert write_route(cells, "directions") == "RIGHT DOWN DOWN LEFT DOWN RIGHT RIGHT RIGHT"
    assert score_route("RIGHT DOWN DOWN LEFT DOWN RIGHT RIGHT RIGHT", HAND, "directions") == score_route(
        "R D D L D R R R", HAND, "moves"
    )
    assert score_route("R D D L D R R R", HAND, "directions") == (0, 0, 0, 0)


def test_a_huge_answer_is_read_up_to_the_budget_only():
    assert score_route("b1 a1 " * 500_000, HAND, "cells") == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("b1 c1 d1 d2 d3 d4", "by gold"),
        ("b1 b2 b3 a3 a4 b4 c4 d4", "by diamonds"),
        ("b1 b2 b3 a3 b3 b2 c2 d2", "by both"),
        ("", "no route"),
        ("a2", "no route"),
        ("b1 b2", "direct"),  # unfinished, and still a direct one: a kind says nothing about success
    ],
)
def test_the_kind_of_a_route_is_where_it_goes_not_what_it_earns(route, kind):
    assert route_kind(route, HAND, "cells", zone_radius=1) == kind


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"size{c.size}")
def test_every_maze_keeps_the_promises_of_the_generator(config):
    for maze in itertools.islice(mazes(config, seed=3), 60):
        kinds = [maze.walls, maze.gold, maze.diamonds, maze.lava, {maze.start}, {maze.exit}]
        assert sum(map(len, kinds)) == len(set().union(*kinds))  # nothing lies on anything else
        assert (len(maze.gold), len(maze.diamonds), len(maze.lava)) == (
            config.num_items,
            config.num_items,
            config.num_lava,
        )
        start, end = distances(maze, maze.start), distances(maze, maze.exit)
        for corner in (maze.gold_corner, maze.diamond_corner):
            assert start[corner] + end[corner] <= maze.budget
        assert distances(maze, maze.start, maze.lava)[maze.exit] <= maze.budget
        assert config.max_budget is None or maze.budget <= config.max_budget
        across = distances(maze, maze.gold_corner)[maze.diamond_corner]
        tours = (start[maze.gold_corner] + end[maze.diamond_corner], start[maze.diamond_corner] + end[maze.gold_corner])
        assert across + min(tours) > maze.budget
        assert Maze.from_json(maze.to_json()) == maze


def test_the_same_seed_gives_the_same_mazes_and_the_splits_are_disjoint():
    task = MazeTask()
    train = {m.key() for m in itertools.islice(task.examples("train"), 500)}
    assert train == {m.key() for m in itertools.islice(MazeTask().examples("train"), 500)}
    for seed in (0, 1):
        test = {m.key() for m in itertools.islice(task.examples("test", seed), 100)}
        assert len(test) == 100
        assert not test & train
    assert {m.key() for m in itertools.islice(task.examples("train", 1), 500)} != train


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_teacher_routes_are_feasible_and_survive_writing(seed):
    rng = random.Random(seed)
    maze = next(mazes(MazeConfig(), seed=seed % 7))
    route = teacher_route(maze, rng)
    for notation in ("cells", "moves", "directions"):
        taken = walk(write_route(route, notation), maze, notation)
        assert taken.reached_exit
        assert list(taken.cells) == route
    through = random_route(maze, rng, waypoint=sorted(maze.gold)[0])
    assert through is None or (sorted(maze.gold)[0] in through and len(through) <= maze.budget)


def test_the_oracle_front_is_the_front_of_all_routes_by_brute_force():
    small = MazeConfig(size=4, wall_share=0.17, num_items=2, zone_radius=1, num_lava=2, max_budget=9)
    for maze in [HAND, *itertools.islice(mazes(small, seed=1), 12)]:
        vectors = {reward_vector(path, maze) for path in brute_force_routes(maze)}
        front = {
            v for v in vectors if not any(u != v and all(a >= b for a, b in zip(u, v, strict=True)) for u in vectors)
        }
        assert set(oracle_front(maze)) == front


def test_the_blind_set_is_the_best_single_route_and_never_worse_with_more():
    stream = list(itertools.islice(MazeTask().examples("train"), 60))
    rng = random.Random(0)
    routes = sorted({write_route(teacher_route(maze, rng), "cells") for maze in stream})
    table = reward_table(MazeTask(), routes, stream)
    weights = np.full((1, 4), 0.25)
    chosen = best_blind_set(table, weights, 5)
    assert chosen[0] == table.mean(-1).mean(0).argmax()
    best = [table.mean(-1)[:, chosen[:k]].max(1).mean() for k in range(1, 6)]
    assert best == sorted(best)
    assert len(set(chosen)) == 5


def test_a_prompt_shows_the_maze_and_hides_what_it_is_told_to():
    maze = next(MazeTask().examples("train"))
    assert MazeTask().prompt(maze, 3).splitlines()[0].split() == maze.rows()[0]
    hidden = MazeTask(hidden_share=0.35).prompt(maze, 3)
    assert hidden.count("?") == round(0.35 * 23)
    assert hidden == MazeTask(hidden_share=0.35).prompt(maze, 3)
    assert hidden.split()[0] == "S" and "E" in hidden


def test_every_word_of_prompts_and_completions_is_in_the_vocabulary():
    for notation in ("cells", "moves", "directions"):
        task = MazeTask(notation=notation, hidden_share=0.2)
        words = set(task.vocabulary(3))
        rng = random.Random(0)
        for maze in itertools.islice(task.examples("train"), 100):
            completion = task.teacher_completion(maze, 3, rng)
            assert set(f"{task.prompt(maze, 3)} {completion}".split()) <= words
            assert len(task.prompt(maze, 3).split()) == task.prompt_tokens
            assert len(completion.split()) + 1 <= task.completion_tokens(3)


def test_the_reward_function_scores_each_answer_in_its_own_maze():
    task = get_task("maze")
    rows = task.dataset("train", 3, num_answers=1)
    rng = random.Random(0)
    answers = [task.teacher_completion(Maze.from_json(row["maze"]), 1, rng) for row in rows]
    (reward,) = task.reward_funcs
    scored = reward(prompts=rows["prompt"], completions=answers, maze=rows["maze"])
    assert scored == [task.score(a, row) for a, row in zip(answers, rows, strict=True)]
    assert all(vector[0] == 1.0 for vector in scored)


def test_a_chat_message_holds_the_grid_the_budget_and_the_rules_and_answers_are_read_off_messages():
    fields = {"size": 9, "wall_share": 0.25, "num_items": 4, "num_lava": 4, "budget_slack": 7, "max_budget": None}
    task = get_task("maze", wording="chat", notation="directions", maze=fields)  # as a recipe gives it
    assert task.maze == MazeConfig(**fields)
    row = task.dataset("train", 1, num_answers=3)[0]
    maze = Maze.from_json(row["maze"])
    (message,) = row["prompt"]
    assert "\n".join(" ".join(line) for line in maze.rows()) in message["content"]
    for words in (
        "9x9 maze",
        f"has {maze.budget} steps at most",
        "gold (4 cells)",
        "UP, DOWN, LEFT or RIGHT",
        "Reason",
    ):
        assert words in message["content"]
    (reward,) = task.reward_funcs
    route = task.attempt(row, random.Random(0))
    scored = reward(
        prompts=[row["prompt"]], completions=[[{"role": "assistant", "content": route}]], maze=[row["maze"]]
    )
    assert scored == [task.score(route, row)]
    assert scored[0][0] == 1.0
    assert task.reference(row) is None
    hidden = get_task("maze", wording="chat", hidden_share=0.3).dataset("train", 1, 3)[0]["prompt"][0]["content"]
    assert "? is a cell that you are not told of" in hidden


def test_a_mutation_keeps_the_beginning_of_its_parent():
    task, rng = MazeTask(), random.Random(0)
    maze = next(task.examples("train"))
    row = task.row(maze, 3)
    route = write_route(teacher_route(maze, rng), "cells")
    prefixes = {task.mutation_prefix(route, row, rng, 3) for _ in range(50)}
    assert all(prefix.startswith("<route_1>") for prefix in prefixes)
    assert all(route.startswith(prefix.removeprefix("<route_1>").strip()) for prefix in prefixes)
    assert len(prefixes) > 3
    assert route.startswith(task.mutation_prefix(route, row, rng, 1))
    assert task.mutation_prefix("nonsense", row, rng, 3) == "<route_1>"


def test_a_drawing_is_well_formed_and_escapes_its_title():
    import xml.etree.ElementTree as ElementTree

    svg = draw_routes(HAND, [[(0, 1), (1, 1)], [(0, 1), (1, 1)], [(0, 1), (0, 2)]], title='<b> & "x"')
    root = ElementTree.fromstring(svg)
    assert sum(child.tag.endswith("polyline") for child in root) == 2  # equal routes are one, wider line
    assert root.get("aria-label") == '<b> & "x"'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3}, "expected 4 or more"),
        ({"size": 40}, "at most 26"),
        ({"wall_share": 0.9}, "wall_share is 0.9"),
        ({"num_items": 9}, "holds 1 to 6"),
        ({"zone_radius": 4}, "expected 1 to 2"),
        ({"num_lava": 99}, "num_lava is 99"),
        ({"budget_slack": -1}, "budget_slack is -1"),
        ({"max_budget": 5}, "no route is shorter than 8"),
    ],
)
def test_impossible_mazes_are_refused_at_the_door(options, message):
    with pytest.raises(ValueError, match=message):
        MazeConfig(**options)


def test_parameters_that_leave_no_maze_end_with_a_message_instead_of_a_hang():
    with pytest.raises(RuntimeError, match="gave no new maze in 1000 attempts"):
        next(mazes(MazeConfig(wall_share=0.55, max_budget=8, budget_slack=0), seed=0))


def test_unknown_tasks_splits_and_notations_are_named():
    with pytest.raises(ValueError, match="no task 'chess'"):
        get_task("chess")
    with pytest.raises(ValueError, match="expected 'train' or 'test'"):
        MazeTask().examples("dev")
    with pytest.raises(ValueError, match="notation is 'words'"):
        MazeTask(notation="words")
    with pytest.raises(ValueError, match="wording is 'poem'"):
        MazeTask(wording="poem")
    with pytest.raises(ValueError, match="hidden_share is 1"):
        MazeTask(hidden_share=1.0)


def test_cell_names_are_column_then_row():
    assert cell_name((0, 0)) == "a1"
    assert cell_name((4, 1)) == "b5"
