"""Rewards of candidate routes without walking them: what a search screens by.

Shape letters: N candidates, d rewards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vpo.looped.depth import DepthPolicy
from vpo.looped.world.mazes import num_actions, observe, route_actions
from vpo.looped.world.model import LoopedWorldModel
from vpo.tasks.maze.grid import Maze
from vpo.tasks.maze.routes import Notation

#: A maze, its JSON, or a dataset row with the JSON under "maze".
Prompt = Maze | str | Mapping[str, Any]


def predict_reward(
    model: LoopedWorldModel | Sequence[LoopedWorldModel],
    prompts: Prompt | Sequence[Prompt],
    candidates: Sequence[str],
    notation: Notation = "cells",
    depth_policy: DepthPolicy | None = None,
    batch_size: int = 256,
) -> tuple[Tensor, Tensor | None]:
    """Roll routes out in the model, and add up the rewards that it expects.

    Args:
        model: Trained on mazes of this size; or several, whose disagreement is the spread.
        prompts: One maze for all candidates, or one for each.
        candidates: N routes as the policy wrote them.
        notation: Of the routes.
        depth_policy: Instead of the model's own.
        batch_size: Routes that are rolled out together.

    Returns:
        Expected reward vector of each route (N, d), and its spread (N, d), the standard deviation over the models;
        None with a single model, which does not know what it does not know.

    Raises:
        ValueError: Neither one prompt nor one for each candidate, or mazes of another size than the model's.
    """
    models = [model] if isinstance(model, LoopedWorldModel) else list(model)
    mazes = _mazes(prompts, len(candidates))
    size = models[0].config.observation_shape[-1]
    for maze in mazes:
        if maze.size != size:
            raise ValueError(f"a maze has {maze.size} cells a side, the model was built for {size}: train one for it.")
    means = []
    for each in models:
        parts = [
            _returns(each, mazes[i : i + batch_size], candidates[i : i + batch_size], notation, depth_policy)
            for i in range(0, len(candidates), batch_size)
        ]
        means.append(torch.cat(parts) if parts else torch.zeros(0, each.config.num_rewards))
    stacked = torch.stack(means)
    return stacked.mean(0), stacked.std(0, correction=0) if len(models) > 1 else None


class WorldModelPredictor:
    """:func:`predict_reward` with the two methods that a search's screening calls.

    Args:
        model: One model, or several.
        notation: Of the routes.
    """

    def __init__(self, model: LoopedWorldModel | Sequence[LoopedWorldModel], notation: Notation = "cells") -> None:
        self.model, self.notation = model, notation

    def predict(self, problem: Any, candidates: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Mean (N, d) and spread of the candidates' rewards.

        Args:
            problem: A prompt as in :func:`predict_reward`, or an object whose ``row`` is one, as a task's problem has.
            candidates: N routes.
        """
        return predict_reward(self.model, getattr(problem, "row", problem), candidates, self.notation)

    def update(self, problem: Any, candidates: Sequence[str], rewards: Any) -> None:
        """Ignore what was found: the model was trained beforehand, and a reward alone does not say what happened."""


def _mazes(prompts: Prompt | Sequence[Prompt], count: int) -> list[Maze]:
    each = [prompts] * count if isinstance(prompts, (Maze, str, Mapping)) else list(prompts)
    if len(each) != count:
        raise ValueError(
            f"there are {len(each)} prompts and {count} candidates: expected one for all, or one for each."
        )
    known: dict[str, Maze] = {}
    mazes = []
    for prompt in each:
        text = prompt["maze"] if isinstance(prompt, Mapping) else prompt
        if isinstance(text, str) and text not in known:
            known[text] = Maze.from_json(text)
        mazes.append(known[text] if isinstance(text, str) else text)
    return mazes


@torch.no_grad()
def _returns(
    model: LoopedWorldModel,
    mazes: Sequence[Maze],
    candidates: Sequence[str],
    notation: Notation,
    depth_policy: DepthPolicy | None,
) -> Tensor:
    routes = [route_actions(text, maze, notation) for text, maze in zip(candidates, mazes, strict=True)]
    longest = max(map(len, routes))
    last = num_actions(mazes[0].size) - 1
    actions = torch.tensor([route + [last] * (longest - len(route)) for route in routes], device=model.device)
    mask = torch.tensor([[i < len(route) for i in range(longest)] for route in routes], device=model.device)
    first = torch.stack([observe(maze, maze.start, ()) for maze in mazes]).to(model.device)
    out = model.rollout(first, actions, mask=mask, depth_policy=depth_policy)
    # Nothing is paid after the last word of a route; what the model makes of padding does not count.
    assert out.rewards is not None
    out.rewards = out.rewards * mask.unsqueeze(-1)
    return out.returns.cpu()
