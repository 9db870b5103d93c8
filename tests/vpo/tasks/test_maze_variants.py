"""The maze's two reward variants, its bonus tile, its sizes, and its drawings as text."""

from __future__ import annotations

import itertools
import random
import xml.etree.ElementTree as ElementTree

import pytest

from tests.vpo.tasks.test_maze import HAND, brute_force_routes
from vpo.tasks import get_task
from vpo.tasks.check import check_task
from vpo.tasks.maze.controls import oracle_front
from vpo.tasks.maze.drawing import draw_routes
from vpo.tasks.maze.grid import Maze, MazeConfig, distances, mazes
from vpo.tasks.maze.routes import reward_vector, score_route, teacher_route, walk, write_route
from vpo.tasks.maze.task import MazeTask
from vpo.tasks.maze.text_drawing import draw_text

#  S . . G        a1 b1 c1 d1
#  # . L G        a2 b2 c2 d2
#  D B # .        a3 b3 c3 d3
#  D L . E        a4 b4 c4 d4
BONUS = Maze(
    size=4,
    walls=frozenset({(1, 0), (2, 2)}),
    gold=frozenset({(0, 3), (1, 3)}),
    diamonds=frozenset({(2, 0), (3, 0)}),
    lava=frozenset({(1, 2), (3, 1)}),
    budget=10,
    bonus=frozenset({(2, 1)}),
)


@pytest.mark.parametrize(
    ("route", "linear", "convex_bonus"),
    [
        ("b1 c1 d1 d2 d3 d4", (1, 1, 0, 1), (1, 1, 0, 1)),  # both gold cells: 1 squared is 1
        ("b1 c1 c2 d2 d3 d4", (1, 0.5, 0, 0.5), (1, 0.25, 0, 0.25)),  # half of the gold, half of the lava, no bonus
        ("b1 b2 b3 b4 c4 d4", (1, 0, 0, 0.5), (1, 0, 0, 0.375)),  # bonus: 1.5 x .25; nothing of gold stays nothing
        ("b1 b2 b3 a3 b3 b4 c4 d4", (1, 0, 0.5, 0.5), (1, 0, 0.375, 0.375)),  # the bonus tile twice counts once
        ("b1 b2 b3 a3 a4 b4 c4 d4", (1, 0, 1, 0.5), (1, 0, 1, 0.375)),  # 1.5 x 1 is cut at 1
        ("b1 b2 b3 b2 b1 c1 d1 d2 d3 d4", (1, 1, 0, 1), (1, 1, 0, 1)),
        ("b1 b2 b3", (0, 0, 0, 0), (0, 0, 0, 0)),  # completion is earned by the exit alone, bonus or not
        ("", (0, 0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_hand_computed_rewards_of_both_variants(route, linear, convex_bonus):
    assert score_route(route, BONUS, "cells", "linear") == pytest.approx(linear)
    assert score_route(route, BONUS, "cells", "convex_bonus") == pytest.approx(convex_bonus)
    assert score_route(route, BONUS, "cells") == pytest.approx(linear)


@pytest.mark.parametrize("variant", ["linear", "convex_bonus"])
def test_the_front_of_a_variant_is_that_of_all_routes_by_brute_force(variant):
    small = MazeConfig(size=4, wall_share=0.1, num_items=2, zone_radius=1, num_lava=2, max_budget=9, bonus=True)
    for maze in [BONUS, HAND, *itertools.islice(mazes(small, seed=1), 8)]:
        vectors = {reward_vector(path, maze, variant) for path in brute_force_routes(maze)}
        front = {
            v for v in vectors if not any(u != v and all(a >= b for a, b in zip(u, v, strict=True)) for u in vectors)
        }
        assert set(oracle_front(maze, variant)) == front


def test_a_task_pays_by_its_variant_everywhere():
    task = get_task("maze", maze={"size": 7, "max_budget": None, "bonus": True}, reward="convex_bonus")
    row = task.row(BONUS, 1)
    route = "b1 b2 b3 a3 b3 b4 c4 d4"
    assert task.score(route, row) == (1, 0, 0.375, 0.375)
    (reward,) = task.reward_funcs
    assert reward(prompts=[row["prompt"]], completions=[route], maze=[row["maze"]]) == [task.score(route, row)]
    assert task.front(BONUS) == oracle_front(BONUS, "convex_bonus") != oracle_front(BONUS)
    assert check_task(task, list(task.dataset("train", 3, 1))).failures == []


@pytest.mark.parametrize("size", range(5, 16))
def test_mazes_of_every_size_from_5_to_15_can_be_had_with_and_without_a_bonus_tile(size):
    for bonus in (False, True):
        config = MazeConfig(size=size, max_budget=None, bonus=bonus)
        for maze in itertools.islice(mazes(config, seed=size), 5):
            assert len(maze.rows()) == size
            assert maze.bonus == (frozenset({(size // 2, size // 2)}) if bonus else frozenset())
            kinds = [maze.walls, maze.gold, maze.diamonds, maze.lava, maze.bonus, {maze.start}, {maze.exit}]
            assert sum(map(len, kinds)) == len(set().union(*kinds))
            assert maze.bonus <= distances(maze, maze.start).keys()
            assert Maze.from_json(maze.to_json()) == maze
            assert walk(write_route(teacher_route(maze, random.Random(0)), "cells"), maze, "cells").reached_exit


def test_teachers_go_by_the_bonus_tile_now_and_then_and_the_vocabulary_knows_it():
    task = MazeTask(maze=MazeConfig(bonus=True, num_lava=2), reward="convex_bonus")
    rng = random.Random(0)
    visits = 0
    for maze in itertools.islice(task.examples("train"), 100):
        completion = task.teacher_completion(maze, 1, rng)
        assert set(f"{task.prompt(maze, 1)} {completion}".split()) <= set(task.vocabulary(1))
        visits += not maze.bonus.isdisjoint(walk(completion, maze, "cells").cells)
    assert 10 < visits < 90
    assert "B" not in MazeTask().vocabulary(3)


def test_a_message_says_what_a_bonus_tile_does_where_it_does_something():
    def message(**options):
        task = get_task("maze", wording="chat", **options)
        return task.dataset("train", 1, 1)[0]["prompt"][0]["content"]

    assert "bonus" not in message()
    assert "B is a bonus cell.\n" in message(maze={"bonus": True, "num_lava": 2})
    assert "by half" in message(maze={"bonus": True, "num_lava": 2}, reward="convex_bonus")


def test_variants_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="reward is 'squared': expected one of linear, convex_bonus"):
        get_task("maze", reward="squared")
    with pytest.raises(ValueError, match=r"the mazes have no bonus tile: expected one to pay for. Set bonus: true"):
        get_task("maze", reward="convex_bonus")


# --- drawings ------------------------------------------------------------------------------------------------------


ROUTE = [(0, 1), (1, 1), (2, 1), (2, 0), (2, 1), (3, 1), (3, 2), (3, 3)]


def test_a_maze_is_drawn_in_ascii():
    assert draw_text(BONUS, ROUTE, "ascii").splitlines() == [
        "+---------+",
        "| S * . G |",
        "| # * L G |",
        "| D B # . |",
        "| D L * E |",
        "+---------+",
    ]
    assert draw_text(BONUS, style="ascii").isascii()


def test_a_maze_is_drawn_with_lines():
    assert draw_text(BONUS, ROUTE).splitlines() == [
        "┌────────────┐",
        "│ S──┐  ·  G │",
        "│███ │  L  G │",
        "│ D──B ███ · │",
        "│ D  L─────E │",
        "└────────────┘",
    ]


@pytest.mark.parametrize("size", [5, 9, 15])
def test_a_drawing_has_one_line_a_row_and_all_symbols(size):
    maze = next(mazes(MazeConfig(size=size, max_budget=None, bonus=True), seed=0))
    for style, width in (("ascii", 2 * size + 3), ("box", 3 * size + 2)):
        lines = draw_text(maze, teacher_route(maze, random.Random(1)), style).splitlines()
        assert len(lines) == size + 2 and {len(line) for line in lines} == {width}
        for symbol in "SEGDLB":
            assert "".join(lines).count(symbol) == sum(row.count(symbol) for row in maze.rows())


@pytest.mark.parametrize("route", [[(0, 2)], [(0, 1), (0, 1)], [(-1, 0)], [(0, 1), (1, 2)]])
def test_a_route_that_jumps_is_not_drawn(route):
    with pytest.raises(ValueError, match=r"the route goes from .* expected a cell beside it"):
        draw_text(BONUS, route)


def test_an_unknown_style_is_named_and_the_bonus_tile_is_in_the_svg():
    with pytest.raises(ValueError, match="style is 'png': expected one of ascii, box"):
        draw_text(BONUS, style="png")
    texts = [
        each.text for each in ElementTree.fromstring(draw_routes(BONUS, [ROUTE], "t")) if each.tag.endswith("text")
    ]
    assert texts.count("B") == 1 and texts.count("G") == 2
