"""TRL trainers: :class:`VPOTrainer` for answer sets, the warm start before it, and the healing of converted models.

The names below are imported on first use, because TRL takes seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.gate import GateTrainer
    from trainers.healing import HealingTrainer
    from trainers.healing_config import HealingConfig
    from trainers.vpo_config import VPOConfig
    from trainers.vpo_trainer import VPOTrainer
    from trainers.warm_start import WarmStartTrainer

__all__ = ["GateTrainer", "HealingConfig", "HealingTrainer", "VPOConfig", "VPOTrainer", "WarmStartTrainer"]

_HOME = {
    "GateTrainer": "trainers.gate",
    "HealingConfig": "trainers.healing_config",
    "HealingTrainer": "trainers.healing",
    "VPOConfig": "trainers.vpo_config",
    "VPOTrainer": "trainers.vpo_trainer",
    "WarmStartTrainer": "trainers.warm_start",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trainers' has no attribute {name!r}: expected one of {', '.join(__all__)}.")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
