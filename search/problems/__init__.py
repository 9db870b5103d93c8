"""Problems to search on: packaged open ones, every vpo task, any function of one's own, and OpenEvolve task folders.

::

    from search.problems import get_problems

    (packing,) = get_problems("circle_packing", num_answers=3)
    mazes = get_problems("maze", num_problems=8)

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

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
    "BestKnown": "search.problems.open_problem",
    "FunctionProblem": "search.problems.function_problem",
    "OpenEvolveProblem": "search.problems.openevolve",
    "OpenProblem": "search.problems.open_problem",
    "ProgramEvaluator": "search.problems.programs",
    "SandboxFailure": "search.problems.shared_sandbox",
    "Setting": "search.problems.open_problem",
    "get_problems": "search.problems.find",
    "list_problems": "search.problems.find",
    "openevolve_problem": "search.problems.openevolve",
    "search_prompt": "search.problems.search_prompt",
}

__all__ = sorted(_HOME)

__getattr__, __dir__ = on_first_use(__name__, _HOME)
