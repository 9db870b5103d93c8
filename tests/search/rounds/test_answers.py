import math

import pytest

from search.budget import Budget
from search.driver import run_search
from search.ledger import read_results, read_told
from search.records import Evaluation, Variation
from search.samplers import ScriptedSampler
from tests.search.rounds.searching import Recorder, best_of_n, evolve, search_toys
from tests.search.toy_problem import ToyProblem, toy_sampler


@pytest.mark.parametrize(
    "budget",
    [Budget(max_answers=7), Budget(max_completion_tokens=111), Budget(max_answers=20, max_completion_tokens=150)],
)
@pytest.mark.parametrize("make", [evolve, best_of_n])
def test_budget_is_used_until_no_request_fits_and_never_exceeded(budget, make):
    for result in search_toys(make, budget=budget):
        answers, tokens = result.answers[-1], result.completion_tokens[-1]
        assert budget.max_answers is None or answers <= budget.max_answers
        assert budget.max_completion_tokens is None or tokens <= budget.max_completion_tokens
        # one more request of 3 answers and 20 tokens would not have fitted
        assert (budget.max_answers is not None and answers + 3 > budget.max_answers) or (
            budget.max_completion_tokens is not None and tokens + 20 > budget.max_completion_tokens
        )


def test_policy_that_never_answers_ends_all_the_same():
    sampler = ScriptedSampler(lambda prompt, prefix, seed: "hm")
    (result,) = search_toys(num=1, sampler=sampler, budget=Budget(max_answers=9))
    assert result.candidates == ()
    # a request may cost 3 answers, so the last one is sent while 3 are left
    assert result.answers == (1, 2, 3, 4, 5, 6, 7)
    assert all(math.isnan(best) for best in result.best)


def test_every_answer_of_every_generation_becomes_a_candidate_in_order():
    recorder = Recorder(toy_sampler(ToyProblem("toy-0")))
    (result,) = search_toys(num=1, sampler=recorder)
    problem = ToyProblem("toy-0")
    texts = [g.text for call in recorder.calls for g in recorder.sampler.sample(call)]
    expected = [(number, answer) for number, text in enumerate(texts) for answer in problem.parse(text)]
    assert [(c.generation_id, c.answer) for c in result.candidates] == expected
    assert [c.id for c in result.candidates] == list(range(len(expected)))
    assert all(c.vector == problem.score(c.answer) for c in result.candidates)


def test_repeated_answers_are_flagged_counted_and_not_evaluated_again():
    problem = ToyProblem("tiny", num_slots=1, num_symbols=3)
    (result,) = search_toys(best_of_n, problems=[problem], sampler=toy_sampler(problem, num_symbols=3))
    assert len(result.candidates) > 30
    assert sorted(problem.evaluated) == ["0", "1", "2"]
    seen: set[str] = set()
    for candidate in result.candidates:
        assert candidate.duplicate == (candidate.answer in seen)
        assert candidate.vector == problem.score(candidate.answer)
        seen.add(candidate.answer)


def test_varied_candidates_name_their_parents_and_begin_with_their_prefix(tmp_path):
    search_toys(path=tmp_path / "run.jsonl", num=1)
    (result,) = read_results(tmp_path / "run.jsonl")
    (told,) = read_told(tmp_path / "run.jsonl")
    varied = [each for each in told.results if each.proposal.parents]
    assert len(varied) > 3
    for each in varied:
        parent = result.candidates[each.proposal.parents[0]]
        kept = each.proposal.prefix.split()[1:]  # behind the opening tag
        assert each.generation.text.startswith(each.proposal.prefix)
        assert parent.answer.split()[: len(kept)] == kept
        assert parent.generation_id < each.number


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_vector_gets_the_floor_and_is_marked_invalid(bad):
    class Broken(ToyProblem):
        def score(self, answer):
            vector = super().score(answer)
            return (bad, *vector[1:]) if answer.startswith("0") else vector

    (result,) = search_toys(problems=[Broken("toy-0")])
    invalid = [c for c in result.candidates if c.answer.startswith("0")]
    assert invalid
    assert {(c.status, c.vector, c.scalar) for c in invalid} == {("invalid", (0.0,) * 4, 0.0)}
    assert {c.status for c in result.candidates if not c.answer.startswith("0")} == {"ok"}


def test_prompt_of_a_proposal_is_what_the_policy_sees_and_a_resumed_run_makes_it_anew(tmp_path):
    class Asking(ToyProblem):
        def vary(self, parent, inspirations, rng):
            return Variation(prompt=f"better than {parent.answer}, please")

    seen = []

    class Spy(ScriptedSampler):
        def sample(self, requests):
            seen.extend(request.prompt for request in requests)
            return super().sample(requests)

    def search():
        problem = Asking("asking", num_answers=1)
        sampler = Spy(toy_sampler(problem)._script)
        return run_search([problem], evolve, sampler, Budget(max_answers=24), ledger_path=tmp_path / "l.jsonl")

    first = search()
    assert any(str(prompt).startswith("better than") for prompt in seen)
    num_sampled = len(seen)
    assert search() == first
    assert len(seen) == num_sampled  # all of it came from the ledger


def test_evaluator_says_why_an_answer_failed_and_the_candidate_and_the_ledger_keep_it(tmp_path):
    class Failing(ToyProblem):
        def evaluate(self, answers):
            return [Evaluation(vector=(0.0,) * 4, status="timeout", artifact="ran for 6 s") for _ in answers]

    problem = Failing("failing", num_answers=1)
    path = tmp_path / "l.jsonl"
    (found,) = run_search(
        [problem], best_of_n, toy_sampler(problem, failure=0), Budget(max_answers=2), ledger_path=path
    )
    assert {(c.status, c.artifact) for c in found.candidates} == {("timeout", "ran for 6 s")}
    assert read_results(path) == [found]
