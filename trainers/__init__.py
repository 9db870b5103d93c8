"""TRL trainers: :class:`VPOTrainer` for answer sets, the warm start before it, and the healing of converted models.

The names below are imported on first use, because TRL takes seconds to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

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

__getattr__, __dir__ = on_first_use(__name__, _HOME)
