"""A row of the rollout log: two answers, two components, whatever a test does not care about."""

from __future__ import annotations

from typing import Any

_ROW: dict[str, Any] = {
    "step": 0,
    "epoch": 0.0,
    "rank": 0,
    "prompt_id": "p",
    "prompt": "p",
    "completion": "a b",
    "answers": ["a", "b"],
    "rewards": [[1.0, 0.0], [0.0, 1.0]],
    "components": ["x", "y"],
    "set_reward": 0.5,
    "advantage": 0.0,
    "completion_tokens": 3,
    "finish_reason": "stop",
    "num_unclosed": 0,
    "num_extra": 0,
    "objective": "vpo",
    "metadata": "{}",
    "depths": [],
    "residuals": [],
}


def rollout_row(**columns: Any) -> dict[str, Any]:
    """A row with these columns, which may be more than today's, and the others as they come."""
    return {**_ROW, **columns}
