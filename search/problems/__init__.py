"""Problems to search on: packaged open ones, every vpo task, any function of one's own, and OpenEvolve task folders.

::

    from search.problems import get_problems

    (packing,) = get_problems("circle_packing", num_answers=3)
    mazes = get_problems("maze", num_problems=8)

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.problems.find import get_problems as get_problems
    from search.problems.find import list_problems as list_problems
    from search.problems.function_problem import FunctionProblem as FunctionProblem
    from search.problems.open_problem import BestKnown as BestKnown
    from search.problems.open_problem import OpenProblem as OpenProblem
    from search.problems.open_problem import Setting as Setting
    from search.problems.openevolve import OpenEvolveProblem as OpenEvolveProblem
    from search.problems.openevolve import openevolve_problem as openevolve_problem
    from search.problems.programs import ProgramEvaluator as ProgramEvaluator
    from search.problems.search_prompt import search_prompt as search_prompt
    from search.problems.shared_sandbox import SandboxFailure as SandboxFailure

_HOME = {
    "BestKnown": "open_problem",
    "FunctionProblem": "function_problem",
    "OpenEvolveProblem": "openevolve",
    "OpenProblem": "open_problem",
    "ProgramEvaluator": "programs",
    "SandboxFailure": "shared_sandbox",
    "Setting": "open_problem",
    "get_problems": "find",
    "list_problems": "find",
    "openevolve_problem": "openevolve",
    "search_prompt": "search_prompt",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Load a public name from the module that owns it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
