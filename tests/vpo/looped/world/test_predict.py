from __future__ import annotations

import itertools
import random
from types import SimpleNamespace

import pytest
import torch

from vpo.looped.depth import FixedDepth, FixedPoint
from vpo.looped.world import LoopedWorldModel, WorldModelConfig, WorldModelPredictor, predict_reward
from vpo.looped.world.mazes import CHANNELS, num_actions
from vpo.tasks.maze import Maze, MazeTask
from vpo.tasks.maze.routes import COMPONENTS, teacher_route, write_route

TASK = MazeTask()
MAZES = list(itertools.islice(TASK.examples("test"), 4))


def model_of(seed: int = 0, size: int = 5) -> LoopedWorldModel:
    torch.manual_seed(seed)
    config = WorldModelConfig(
        observation_shape=(len(CHANNELS), size, size), observation_kind="binary", num_actions=num_actions(size),
        num_rewards=len(COMPONENTS), hidden_size=8, depth_policy=FixedPoint(tol=0.1, cap=6, patience=0),
    )  # fmt: skip
    return LoopedWorldModel(config).eval()


def routes(maze: Maze, count: int) -> list[str]:
    rng = random.Random(0)
    return [write_route(teacher_route(maze, rng), "cells") for _ in range(count)]


def test_prompts_are_mazes_their_json_or_rows_one_for_all_or_one_each() -> None:
    maze, model = MAZES[0], model_of()
    candidates = [*routes(maze, 3), "", "nonsense b1"]
    expected, spread = predict_reward(model, maze, candidates)
    assert expected.shape == (5, 4) and spread is None
    for prompts in (maze.to_json(), TASK.row(maze, 1), [maze] * 5, [TASK.row(maze, 1)] * 5):
        assert torch.allclose(predict_reward(model, prompts, candidates)[0], expected)
    problem = SimpleNamespace(row=TASK.row(maze, 1))
    predictor = WorldModelPredictor(model)
    assert torch.allclose(predictor.predict(problem, candidates)[0], expected)
    predictor.update(problem, candidates, expected)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_a_candidate_is_rated_the_same_in_any_company(batch_size: int) -> None:
    model = model_of()
    candidates = [routes(maze, 2)[i] for maze in MAZES for i in range(2)] + ["", "b1"]
    prompts = [maze for maze in MAZES for _ in range(2)] + MAZES[:2]
    expected = torch.cat([predict_reward(model, [p], [c])[0] for p, c in zip(prompts, candidates, strict=True)])
    found, _ = predict_reward(model, prompts, candidates, batch_size=batch_size)
    assert torch.allclose(found, expected, atol=1e-5)


def test_words_behind_the_budget_do_not_count() -> None:
    maze = MAZES[0]
    long = " ".join(["b1", "a1"] * maze.budget)
    cut = " ".join(long.split()[: maze.budget])
    found, _ = predict_reward(model_of(), maze, [long, cut], depth_policy=FixedDepth(2))
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_several_models_say_how_far_they_differ() -> None:
    models, candidates = [model_of(0), model_of(1)], routes(MAZES[0], 3)
    mean, spread = predict_reward(models, MAZES[0], candidates)
    first, second = (predict_reward(model, MAZES[0], candidates)[0] for model in models)
    assert torch.allclose(mean, (first + second) / 2) and torch.allclose(spread, (first - second).abs() / 2, atol=1e-6)


def test_no_candidates_are_no_rewards() -> None:
    assert predict_reward(model_of(), MAZES[0], [])[0].shape == (0, 4)


def test_prompts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 prompts and 1 candidates"):
        predict_reward(model_of(), MAZES[:2], ["b1"])
    with pytest.raises(ValueError, match="5 cells a side, the model was built for 6"):
        predict_reward(model_of(size=6), MAZES[0], ["b1"])
