"""A model of the evaluator screens answers before they are evaluated, and is switched off where it is proven wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

if TYPE_CHECKING:
    from search.screening.predictor import RewardPredictor as RewardPredictor
    from search.screening.registry import get_predictor as get_predictor
    from search.screening.rules import Screening as Screening
    from search.screening.screen import Screen as Screen
    from search.screening.text_predictor import TextPredictor as TextPredictor
    from search.screening.trial import Trial as Trial

_HOME = {
    "RewardPredictor": "search.screening.predictor",
    "Screen": "search.screening.screen",
    "Screening": "search.screening.rules",
    "TextPredictor": "search.screening.text_predictor",
    "Trial": "search.screening.trial",
    "get_predictor": "search.screening.registry",
}

__all__ = sorted(_HOME)

__getattr__, __dir__ = on_first_use(__name__, _HOME)
