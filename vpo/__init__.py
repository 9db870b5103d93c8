"""Vector policy optimization: answer sets, vector rewards, random weightings, and a looped policy to train with them.

The names below are imported on first use, so that ``import vpo`` costs nothing: torch and transformers are loaded only
by the modules that need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

if TYPE_CHECKING:
    from vpo.answers import AnswerFormat, AnswerSet
    from vpo.looped import LoopedConfig, LoopedForCausalLM
    from vpo.objective import group_advantages, set_reward
    from vpo.weightings import Dirichlet, Fixed

__version__ = "0.1.0"

__all__ = [
    "AnswerFormat",
    "AnswerSet",
    "Dirichlet",
    "Fixed",
    "LoopedConfig",
    "LoopedForCausalLM",
    "group_advantages",
    "set_reward",
]

_HOME = {
    "AnswerFormat": "vpo.answers",
    "AnswerSet": "vpo.answers",
    "Dirichlet": "vpo.weightings",
    "Fixed": "vpo.weightings",
    "LoopedConfig": "vpo.looped",
    "LoopedForCausalLM": "vpo.looped",
    "group_advantages": "vpo.objective",
    "set_reward": "vpo.objective",
}

__getattr__, __dir__ = on_first_use(__name__, _HOME)
