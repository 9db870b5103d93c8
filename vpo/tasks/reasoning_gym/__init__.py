"""Any generator of the package reasoning-gym as a task: ``reasoning_gym:countdown``."""

from __future__ import annotations

from vpo.tasks.reasoning_gym.task import ReasoningGymTask

__all__ = ["ReasoningGymTask"]
