"""A looped world model: predicts observation, reward vector and continuation, and loops more where a step needs it.

LoopWM (arXiv 2606.18208). Importing this package registers configuration and model with transformers' auto classes.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel

from vpo.looped.world.bound import StateBound, state_bound
from vpo.looped.world.config import WorldModelConfig
from vpo.looped.world.halting import choose_tolerance, fit_gate, gate_loss
from vpo.looped.world.model import LoopedWorldModel
from vpo.looped.world.outputs import WorldModelOutput
from vpo.looped.world.predict import WorldModelPredictor, predict_reward
from vpo.looped.world.training import TrainingPlan, train
from vpo.looped.world.transitions import Episode, Transitions

AutoConfig.register(WorldModelConfig.model_type, WorldModelConfig, exist_ok=True)
AutoModel.register(WorldModelConfig, LoopedWorldModel, exist_ok=True)

__all__ = [
    "Episode",
    "LoopedWorldModel",
    "StateBound",
    "TrainingPlan",
    "Transitions",
    "WorldModelConfig",
    "WorldModelOutput",
    "WorldModelPredictor",
    "choose_tolerance",
    "fit_gate",
    "gate_loss",
    "predict_reward",
    "state_bound",
    "train",
]
