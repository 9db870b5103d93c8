"""Streams over toy problems, by a script that answers in an order of its own."""

from search.budget import Budget
from search.driver import run_search
from search.procedures import Evolution
from search.records import Sampling
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler

SAMPLING = Sampling(max_new_tokens=20)


def evolve(problem):
    return Evolution(problem.vary)


def search(*, num=3, problems=None, make=evolve, budget=None, disorder=0, sampler=None, path=None, batch=6, **options):
    problems = problems or toy_problems(num)
    sampler = sampler or StreamingScript(toy_sampler(problems[0]), disorder=disorder)
    budget = budget or Budget(max_answers=40)
    return run_search(problems, make, sampler, budget, batch=batch, sampling=SAMPLING, ledger_path=path, **options)


class Single(ToyProblem):
    """One answer a completion, whose digits the script chooses."""

    def __init__(self, name="single", **options):
        super().__init__(name, num_answers=1, **options)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(problem, clock, seconds=1.0):
    def before(request):
        clock.now += seconds

    return StreamingScript(toy_sampler(problem), max_concurrency=1, before=before)
