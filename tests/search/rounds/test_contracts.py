import math

import pytest

from search.budget import Budget
from search.driver import run_search
from search.procedures import BestOfN
from search.records import Generation, Proposal
from tests.search.rounds.searching import BUDGET, Recorder, best_of_n, search_toys
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler


class Edited(Recorder):
    """Changes every generation on its way back."""

    def __init__(self, sampler, edit):
        super().__init__(sampler)
        self.edit = edit

    def sample(self, requests):
        return self.edit(super().sample(requests))


def test_procedure_may_ask_for_less_and_ends_its_problem_by_asking_for_nothing():
    class Two(BestOfN):
        def __init__(self):
            self.left = 2

        def ask(self, num, rng, pending=()):
            return [Proposal()] if self.left else []

        def tell(self, results):
            self.left -= 1

    results = search_toys(lambda problem: Two())
    assert [len(result.answers) for result in results] == [2, 2, 2]


def test_budget_that_a_procedure_leaves_unasked_is_there_in_later_rounds():
    class OneByOne(BestOfN):
        def ask(self, num, rng, pending=()):
            return [Proposal()]

    (result,) = search_toys(lambda problem: OneByOne(), num=1)
    assert 38 <= result.answers[-1] <= 40


def too_many(generations):
    return generations[:-1]


def out_of_order(generations):
    return generations[::-1]


def change(**values):
    def edit(generations):
        return [Generation(**{**vars(generation), **values}) for generation in generations]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (too_many, "expected .* give one generation per request, in order"),
        (out_of_order, "give one generation per request, in order"),
        (change(completion_tokens=0), "counted 0 generated tokens, expected 1 to max_new_tokens = 20"),
        (change(completion_tokens=21), "counted 21 generated tokens"),
        (change(text=" <answer_1> 1 1 1 1 </answer_1>"), "expected it to begin with the prefix"),
    ],
)
def test_sampler_that_breaks_its_contract_is_stopped(edit, message):
    with pytest.raises(ValueError, match=message):
        search_toys(sampler=Edited(toy_sampler(ToyProblem("toy-0")), edit))


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("evaluate", lambda answers: [], "gave 0 vectors for .* answers, expected one each"),
        ("evaluate", lambda answers: [(0.0,) * (1 + i) for i in range(len(answers))], "expected one length"),
        (
            "evaluate",
            lambda answers: [()] * len(answers),
            r"vectors of lengths \[0\], expected one length of at least 1",
        ),
        ("parse", lambda text: ["a"] * 4, "gave 4 answers, expected at most num_answers = 3"),
        ("scalar", lambda vector: math.nan, "gave nan, expected a finite number"),
    ],
)
def test_problem_that_breaks_its_contract_is_stopped(method, value, message):
    problem = ToyProblem("toy-0")
    setattr(problem, method, value)
    with pytest.raises(ValueError, match=message):
        search_toys(problems=[problem])


def test_procedure_that_proposes_too_much_is_stopped():
    class Greedy(BestOfN):
        def ask(self, num, rng, pending=()):
            return [Proposal()] * (num + 1)

    with pytest.raises(ValueError, match=r"ask\(4\) of Greedy gave 5 proposals"):
        search_toys(lambda problem: Greedy())


def test_bad_arguments_are_refused(tmp_path):
    sampler = toy_sampler(ToyProblem("toy-0"))
    with pytest.raises(ValueError, match="problems is empty, expected at least one"):
        run_search([], best_of_n, sampler, BUDGET)
    with pytest.raises(ValueError, match="batch is 0, expected at least 1"):
        run_search(toy_problems(1), best_of_n, sampler, BUDGET, batch=0)
    with pytest.raises(ValueError, match=r"problem ids \['toy-0'\] occur more than once"):
        run_search([*toy_problems(2), *toy_problems(1)], best_of_n, sampler, BUDGET)
    with pytest.raises(ValueError, match="cannot hold one request of problem 'toy-0', which may cost"):
        run_search(toy_problems(1), best_of_n, sampler, Budget(max_completion_tokens=511), ledger_path=tmp_path / "x")
    assert list(tmp_path.iterdir()) == []  # refused before anything was written
    with pytest.raises(ValueError, match="num_answers = 0, expected at least 1"):
        problem = ToyProblem("toy-0")
        problem.num_answers = 0
        run_search([problem], best_of_n, sampler, BUDGET)
