"""Vector policy optimization: answer sets, vector rewards, random weightings, and a looped policy to train with them.

The names below are imported on first use, so that ``import vpo`` costs nothing: torch and transformers are loaded only
by the modules that need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vpo' has no attribute {name!r}: expected one of {', '.join(__all__)}.")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
