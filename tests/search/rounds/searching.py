"""Rounds over toy problems, with a sampler that keeps what it was asked."""

import json
from pathlib import Path

from search.budget import Budget
from search.driver import run_search
from search.procedures import BestOfN, Evolution
from search.records import Sampling
from tests.search.toy_problem import toy_problems, toy_sampler

SAMPLING = Sampling(max_new_tokens=20)
BUDGET = Budget(max_answers=40)


def evolve(problem):
    return Evolution(problem.vary)


def best_of_n(problem):
    return BestOfN()


def timeless_lines(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.dumps({key: value for key, value in row.items() if key != "wall"}) for row in rows]


def search_toys(make=evolve, *, num=3, budget=BUDGET, seed=0, path=None, sampler=None, problems=None, **options):
    problems = problems or toy_problems(num)
    sampler = sampler or toy_sampler(problems[0])
    return run_search(
        problems, make, sampler, budget, batch=4, seed=seed, sampling=SAMPLING, ledger_path=path, **options
    )


class Recorder:
    """Passes requests on and keeps them."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.calls = []

    def sample(self, requests):
        self.calls.append(list(requests))
        return self.sampler.sample(requests)
