from __future__ import annotations

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.looped.world.mazes import CHANNELS, num_actions, play, random_walk, record, route_actions, runs
from vpo.tasks.maze import Maze, MazeConfig, MazeTask
from vpo.tasks.maze.routes import COMPONENTS, score_route, teacher_route, walk, write_route

TASKS = [MazeTask(notation=notation) for notation in ("cells", "moves", "directions")]
MAZES = list(itertools.islice(TASKS[0].examples("train"), 20))


def texts(task: MazeTask, maze, rng: random.Random) -> list[str]:
    """Routes that arrive, that run into walls or out of words, jump, are too long, or are none."""
    good = write_route(teacher_route(maze, rng), task.notation)
    words = good.split()
    known = task.vocabulary(1)
    return [
        good,
        " ".join(words[:-1]),
        " ".join([*words[:2], *words]),
        " ".join([*words[:3], "nonsense", *words[3:]]),
        " ".join(rng.choice(known) for _ in range(8)),
        " ".join(words * 5),
        f"{good} {words[0]} {words[0]}",
        "",
    ]


@pytest.mark.parametrize("reward", ["linear", "convex_bonus"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.notation)
def test_playing_a_route_pays_what_the_task_pays_for_it(task: MazeTask, reward: str) -> None:
    rng = random.Random(0)
    for maze in MAZES:
        for text in texts(task, maze, rng):
            episode = play(maze, route_actions(text, maze, task.notation), reward)
            paid = episode.rewards.sum(0)
            assert torch.allclose(paid, torch.tensor(score_route(text, maze, task.notation, reward))), text
            assert len(episode.observations) == len(episode.actions) + 1


def test_an_observation_says_where_one_is_and_was() -> None:
    maze = MAZES[0]
    text = write_route(teacher_route(maze, random.Random(1)), "moves")
    episode, visited = play(maze, route_actions(text, maze, "moves")), walk(text, maze, "moves").cells
    last = episode.observations[-1].bool()
    cells = {name: {tuple(cell) for cell in last[i].nonzero().tolist()} for i, name in enumerate(CHANNELS)}
    assert cells["agent"] == {maze.exit} == cells["exit"]
    assert cells["entered"] == set(visited)
    assert (cells["wall"], cells["gold"], cells["lava"]) == (maze.walls, maze.gold, maze.lava)
    assert cells["diamond"] == maze.diamonds
    constant = [i for i, name in enumerate(CHANNELS) if name not in ("agent", "entered")]
    assert (episode.observations[:, constant] == episode.observations[0, constant]).all()


def test_recorded_routes_are_of_all_kinds() -> None:
    data = record(MAZES, 6, seed=0)
    lengths = data.mask.sum(1)
    arrived = (data.rewards * data.mask.unsqueeze(-1)).sum(1)[:, COMPONENTS.index("completion")]
    ended = data.continues[torch.arange(len(data)), lengths - 1] == 0
    assert len(data) == 120
    assert 0.3 < arrived.mean() < 0.9, "a model must see what is paid, and what is not"
    assert (ended & (arrived == 0)).any(), "and steps that are not possible"
    assert (~ended).any(), "and a budget that was used up"
    seen = set(data.actions[data.mask].tolist())
    assert {move * 4 for move in range(4)} | {num_actions(5) - 1} <= seen, "all moves, and what is none"
    assert {4, 5, 6, 7} | {12, 13, 14, 15} <= seen, "and runs of all lengths towards the exit"
    assert lengths.max() <= max(maze.budget for maze in MAZES)


def test_a_walk_that_avoids_the_exit_does_not_end() -> None:
    maze = next(iter(MazeTask(maze=MazeConfig(size=6, max_budget=None)).examples("train")))
    moves = random_walk(maze, 80, random.Random(0), frozenset({maze.exit}))
    episode = play(maze, runs(moves, 6))
    assert len(moves) == 80 and not episode.ended and not episode.rewards.any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=20), st.integers(4, 7))
def test_runs_are_the_moves_again(moves: list[int], size: int) -> None:
    unrolled: list[int] = []
    for action in runs(moves, size):
        assert 0 <= action < num_actions(size)
        move, length = divmod(action, size - 1)
        unrolled += [move] * (length + 1)
    assert unrolled == moves


def test_a_run_stops_at_a_wall_and_marks_the_cells_before_it() -> None:
    maze = Maze.from_json('{"rows": ["S..#.", ".....", ".....", ".....", "....E"], "budget": 12}')
    episode = play(maze, runs([3, 3, 3, 3, 1], 5))
    assert len(episode.actions) == 1 and episode.ended
    assert episode.observations[1][CHANNELS.index("agent")].nonzero().tolist() == [[0, 2]]
    assert episode.observations[1][CHANNELS.index("entered")].nonzero().tolist() == [[0, 1], [0, 2]]
