"""Search over any sampler: procedures, budgets, and a ledger that makes every run resumable and replayable.

Names are loaded when they are first used, so ``import search`` brings neither torch nor transformers along.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.budget import Budget as Budget
    from search.curves import best_so_far as best_so_far
    from search.curves import expected_best_so_far as expected_best_so_far
    from search.driver import Progress as Progress
    from search.driver import run_search as run_search
    from search.ledger import LedgerError as LedgerError
    from search.ledger import read_ledger as read_ledger
    from search.ledger import read_results as read_results
    from search.model_sampler import ModelSampler as ModelSampler
    from search.problem import Problem as Problem
    from search.problem import TaskProblem as TaskProblem
    from search.procedures import BestOfN as BestOfN
    from search.procedures import Evolution as Evolution
    from search.procedures import Procedure as Procedure
    from search.records import Candidate as Candidate
    from search.records import Evaluation as Evaluation
    from search.records import Generation as Generation
    from search.records import Proposal as Proposal
    from search.records import Request as Request
    from search.records import Result as Result
    from search.records import Sampling as Sampling
    from search.records import SearchResult as SearchResult
    from search.records import Variation as Variation
    from search.samplers import Sampler as Sampler
    from search.samplers import ScriptedSampler as ScriptedSampler
    from search.selection import lexicase as lexicase

_HOME = {
    "Budget": "budget",
    "best_so_far": "curves",
    "expected_best_so_far": "curves",
    "Progress": "driver",
    "run_search": "driver",
    "LedgerError": "ledger",
    "read_ledger": "ledger",
    "read_results": "ledger",
    "ModelSampler": "model_sampler",
    "Problem": "problem",
    "TaskProblem": "problem",
    "BestOfN": "procedures",
    "Evolution": "procedures",
    "Procedure": "procedures",
    "Candidate": "records",
    "Evaluation": "records",
    "Generation": "records",
    "Proposal": "records",
    "Request": "records",
    "Result": "records",
    "Sampling": "records",
    "SearchResult": "records",
    "Variation": "records",
    "Sampler": "samplers",
    "ScriptedSampler": "samplers",
    "lexicase": "selection",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Load a public name from the module that owns it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
