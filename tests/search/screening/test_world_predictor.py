import itertools

import numpy as np
import pytest

from search.problem import TaskProblem
from search.screening import get_predictor
from tests.search.screening.searching import toy


def test_problem_without_a_row_is_refused():
    with pytest.raises(ValueError, match="problem 'toy' has no row, expected that of a task"):
        get_predictor("world", toy(), model="nowhere")


@pytest.mark.slow  # for the import of transformers
def test_saved_world_models_foresee_routes_of_a_maze_and_disagree(tmp_path):
    import torch

    from vpo.looped.world import LoopedWorldModel, WorldModelConfig
    from vpo.looped.world.mazes import CHANNELS, num_actions
    from vpo.tasks.maze import MazeTask
    from vpo.tasks.maze.routes import COMPONENTS

    task = MazeTask()
    maze = next(itertools.islice(task.examples("test"), 1))
    shape = (len(CHANNELS), maze.size, maze.size)
    options = {"observation_kind": "binary", "num_actions": num_actions(maze.size), "num_rewards": len(COMPONENTS)}
    for seed in range(2):
        torch.manual_seed(seed)
        config = WorldModelConfig(observation_shape=shape, hidden_size=8, **options)
        LoopedWorldModel(config).save_pretrained(tmp_path / str(seed))
    problem = TaskProblem(task, task.row(maze, 1), task.answer_format(1))
    folders = [str(tmp_path / "0"), str(tmp_path / "1")]
    mean, spread = get_predictor("world", problem, model=folders[0]).predict(problem, ["a1 b1", "b1"])
    assert np.asarray(mean).shape == (2, 4) and spread is None
    mean, spread = get_predictor("world", problem, model=folders).predict(problem, ["a1 b1", "b1"])
    assert np.asarray(spread).shape == (2, 4) and float(np.asarray(spread).max()) > 0
    with pytest.raises(ValueError, match="holds no world model"):
        get_predictor("world", problem, model=str(tmp_path / "nothing"))
