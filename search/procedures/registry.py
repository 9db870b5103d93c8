"""Procedures by name, with their options checked before anything is sampled."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from search.problem import Problem
from search.procedures.beam import Beam
from search.procedures.best_of_n import BestOfN
from search.procedures.dominated_novelty import DominatedNoveltySearch
from search.procedures.evolution import Evolution
from search.procedures.lexicase_evolution import LexicaseEvolution
from search.procedures.map_elites import MapElites
from search.procedures.pareto import ParetoEvolution
from search.procedures.protocol import Procedure
from search.procedures.puct import PUCT
from search.procedures.revision import Revision
from search.procedures.self_consistency import SelfConsistency
from search.procedures.signature_islands import SignatureIslands

PROCEDURES: dict[str, type[Procedure]] = {
    "best_of_n": BestOfN,
    "self_consistency": SelfConsistency,
    "revision": Revision,
    "beam": Beam,
    "puct": PUCT,
    "pareto": ParetoEvolution,
    "map_elites": MapElites,
    "signature_islands": SignatureIslands,
    "dominated_novelty": DominatedNoveltySearch,
    "lexicase": LexicaseEvolution,
    "evolution": Evolution,
}
"""Name -> class; "lexicase" is the default for vectors of about five components and more, "pareto" for fewer."""

_FROM_PROBLEM = ("vary", "canonical")  # arguments that the problem gives


def get_procedure(name: str, problem: Problem, /, **options: Any) -> Procedure:
    """Make a new procedure for one problem.

    Args:
        name: One of ``PROCEDURES``.
        problem: Its ``vary``, and its ``canonical`` if it has one, are handed to the procedure.
        **options: Keyword arguments of the class; what is left out has its default.

    Raises:
        ValueError: There is no such procedure or option, or an option lies outside its range.
    """
    if name not in PROCEDURES:
        raise ValueError(f"there is no procedure {name!r}: expected one of {', '.join(PROCEDURES)}.{_like(name)}")
    make = PROCEDURES[name]
    parameters = inspect.signature(make).parameters
    allowed = [option for option in parameters if option != "vary"]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        there_are = f"expected some of {', '.join(allowed)}" if allowed else "it has none"
        raise ValueError(f"procedure {name!r} has no option {unknown[0]!r}: {there_are}. Drop it or correct its name.")
    given = {each: getattr(problem, each) for each in _FROM_PROBLEM if each in parameters and hasattr(problem, each)}
    return make(**{**given, **options})


def _like(name: str) -> str:
    close = difflib.get_close_matches(name, PROCEDURES, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
