import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.budget import Budget
from search.cascade import Cascade
from search.driver import run_search
from search.procedures import BestOfN
from search.records import Evaluation
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_sampler


class Partial(ToyProblem):
    """The toy, with components that can be measured by themselves; counts what was measured."""

    def __init__(self, name="partial", **options):
        super().__init__(name, num_answers=1, **options)
        self.num_components = len(self.target)
        self.measured = 0

    def evaluate_some(self, answers, components):
        self.measured += sum(map(len, components))
        scores = [self.score(answer) for answer in answers]
        return [tuple(score[c] for c in chosen) for score, chosen in zip(scores, components, strict=True)]


answer_texts = st.lists(st.integers(0, 3), min_size=8, max_size=8).map(lambda digits: " ".join(map(str, digits)))


@given(
    answers=st.lists(answer_texts, min_size=1, max_size=6, unique=True),
    share=st.floats(0.01, 0.99),
    bar=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_answer_is_measured_wholly_if_its_first_components_reach_the_bar_and_marked_if_not(answers, share, bar, seed):
    problem = Partial(num_slots=8)
    cascade = Cascade(problem, share=share, bar=bar, floor=-1.0, seed=seed)
    for answer, found in zip(answers, cascade.evaluate(answers), strict=True):
        first, whole = cascade.first_stage(answer), problem.score(answer)
        if sum(whole[c] for c in first) / len(first) >= bar:
            assert found == Evaluation(vector=whole)
        else:
            assert found.status == "screened"
            assert found.vector == tuple(whole[c] if c in first else -1.0 for c in range(8))
            assert f"on {len(first)} of 8 components, expected" in found.artifact


def test_evaluation_is_a_function_of_the_answer_alone():
    cascade = Cascade(Partial(num_slots=8), bar=0.5)
    answers = [" ".join(str(random.Random(i).randrange(4)) for _ in range(8)) for i in range(20)]
    alone = [cascade.evaluate([answer])[0] for answer in answers]
    assert cascade.evaluate(answers) == alone
    assert Cascade(Partial(num_slots=8), bar=0.5).evaluate(answers[::-1]) == alone[::-1]


def test_first_components_differ_from_answer_to_answer_and_all_get_their_turn():
    cascade = Cascade(Partial(num_slots=8), share=0.25, bar=0.5)
    drawn = [tuple(cascade.first_stage(str(i))) for i in range(400)]
    assert all(len(set(first)) == 2 for first in drawn)
    counts = [sum(c in first for first in drawn) for c in range(8)]
    assert min(counts) > 60  # 100 expected, 8.7 is the standard deviation


def test_answers_that_are_one_by_their_canonical_form_get_the_same_first_components():
    class Spaced(Partial):
        def canonical(self, answer):
            return answer.replace(" ", "")

    cascade = Cascade(Spaced(num_slots=8), bar=0.5)
    assert all(cascade.first_stage(f"{i} 1") == cascade.first_stage(f"{i}1") for i in range(30))


def test_what_the_evaluator_says_of_a_failure_is_kept_and_nothing_more_is_measured():
    class Failing(Partial):
        def evaluate_some(self, answers, components):
            self.measured += sum(map(len, components))
            return [Evaluation(vector=(0.0,) * len(each), status="timeout", artifact="6 s") for each in components]

    problem = Failing(num_slots=8)
    (found,) = Cascade(problem, share=0.25, bar=0.0).evaluate(["0 0 0 0 0 0 0 0"])
    assert found == Evaluation(vector=(0.0,) * 8, status="timeout", artifact="6 s")
    assert problem.measured == 2


def test_search_through_a_cascade_measures_less_and_is_the_same_whatever_the_order_of_arrival():
    def search(problem, disorder):
        sampler = StreamingScript(toy_sampler(Partial(num_slots=8)), disorder=disorder)
        return run_search([problem], lambda p: BestOfN(), sampler, Budget(max_answers=60))

    whole, inner = Partial(num_slots=8), Partial(num_slots=8)
    (plain,) = search(whole, 0)
    (found,) = search(Cascade(inner, bar=0.5), 0)
    assert inner.measured < 0.7 * 8 * len({c.answer for c in plain.candidates})
    assert {c.status for c in found.candidates} == {"ok", "screened"}
    assert search(Cascade(Partial(num_slots=8), bar=0.5), 1) == [found]


def test_changed_bar_cannot_continue_a_ledger(tmp_path):
    def search(bar):
        problem = Cascade(Partial(num_slots=8), bar=bar)
        sampler = StreamingScript(toy_sampler(Partial(num_slots=8)))
        path = tmp_path / "run.jsonl"
        return run_search([problem], lambda p: BestOfN(), sampler, Budget(max_answers=9), ledger_path=path)

    search(0.5)
    with pytest.raises(ValueError, match=r"another configuration \(problems"):
        search(0.6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, r"share is 0.0, expected a part of the components in \(0, 1\)"),
        ({"share": 1.0}, "share is 1.0"),
        ({"bar": float("nan")}, "bar is nan and floor 0.0, expected finite"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Cascade(Partial(), **({"bar": 0.5} | options))


def test_problem_that_cannot_be_measured_in_part_is_refused():
    with pytest.raises(ValueError, match="problem 'toy' has no evaluate_some and num_components"):
        Cascade(ToyProblem("toy"), bar=0.5)


def test_wrong_number_of_partial_rewards_is_named():
    problem = Partial(num_slots=8)
    problem.evaluate_some = lambda answers, components: [(1.0,)] * len(answers)
    with pytest.raises(ValueError, match=r"gave \[1\]... rewards, expected \[2\]...: give one reward"):
        Cascade(problem, bar=0.5).evaluate(["0"])
