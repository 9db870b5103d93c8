"""Searches with a screen before them, as tests run them."""

from __future__ import annotations

from typing import Any

from search.budget import Budget
from search.driver import run_search
from search.procedures import Evolution
from search.records import Sampling, SearchResult
from search.screening import Screening
from tests.search.toy_problem import ToyProblem, toy_sampler

SLOTS = "tests.search.screening.predictors:SlotMeans"


def toy(num_answers: int = 1) -> ToyProblem:
    return ToyProblem("toy", num_answers=num_answers, num_slots=6, num_symbols=4)


def searched(problem: Any, screen: Screening | None, *, most: int = 80, **options: Any) -> SearchResult:
    """One problem by evolution, in rounds unless another sampler is given."""
    sampler = options.pop("sampler", None) or toy_sampler(problem)
    budget = options.pop("budget", None) or Budget(max_answers=most)
    settings = {"batch": 8, "sampling": Sampling(max_new_tokens=40)} | options
    (result,) = run_search([problem], lambda p: Evolution(p.vary), sampler, budget, screen=screen, **settings)
    return result
