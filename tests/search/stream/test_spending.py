import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.budget import Budget
from search.ledger import read_results
from search.records import Variation
from tests.search.stream.searching import Clock, Single, search, timed
from tests.search.streaming import StreamingScript, count_words
from tests.search.toy_problem import toy_problems, toy_sampler


@given(
    answers=st.none() | st.integers(3, 40),
    completion=st.none() | st.integers(20, 300),
    total=st.none() | st.integers(60, 500),
    batch=st.integers(1, 9),
    ordered=st.booleans(),
    disorder=st.integers(0, 99),
)
def test_no_budget_is_exceeded_and_what_is_left_holds_no_further_request(
    answers, completion, total, batch, ordered, disorder
):
    if (answers, completion, total) == (None, None, None):
        answers = 9
    budget = Budget(max_answers=answers, max_completion_tokens=completion, max_total_tokens=total)
    problems = toy_problems(2)
    sampler = StreamingScript(toy_sampler(problems[0]), disorder=disorder, counting=True)
    results = search(problems=problems, sampler=sampler, budget=budget, batch=batch, ordered=ordered)
    # prompt of 2 words; a prefix of at most 1 tag and 3 digits
    for result in results:
        spent = (
            result.answers[-1],
            result.completion_tokens[-1],
            result.completion_tokens[-1] + result.prompt_tokens[-1],
        )
        for used, limit in zip(spent, (answers, completion, total), strict=True):
            assert limit is None or used <= limit
        room = [
            limit is not None and used + worst > limit
            for used, worst, limit in zip(spent, (3, 20, 26), (answers, completion, total), strict=True)
        ]
        assert any(room)


def test_prompts_of_proposals_are_charged_before_they_are_sent():
    class Wordy(Single):
        def vary(self, parent, inspirations, rng):
            return Variation(prompt="again " * 70)

    budget = Budget(max_total_tokens=300)
    problem = Wordy()
    sampler = StreamingScript(toy_sampler(problem), counting=True)
    (result,) = search(problems=[problem], sampler=sampler, budget=budget, batch=3)
    assert max(count_words(request.prompt) for request in sampler.sent) == 70
    assert result.prompt_tokens[-1] + result.completion_tokens[-1] <= 300


def test_without_a_count_of_tokens_their_bytes_are_reserved():
    problem = Single()  # "problem single" is 14 bytes, and one more for a token in front
    budget = Budget(max_total_tokens=34)
    with pytest.raises(ValueError, match=r"cannot hold one request .* prompt_tokens=15"):
        search(problems=[problem], budget=budget)
    (result,) = search(problems=[problem], budget=Budget(max_total_tokens=35))
    assert len(result.answers) == 1
    sampler = StreamingScript(toy_sampler(problem), counting=True)
    (result,) = search(problems=[Single()], sampler=sampler, budget=Budget(max_total_tokens=35))
    assert len(result.answers) > 1  # a prompt of 2 words


def test_nothing_is_sent_when_the_time_is_over_and_a_resumed_run_counts_the_time_before(tmp_path):
    path, clock = tmp_path / "run.jsonl", Clock()
    problem = Single()
    sampler = timed(problem, clock)

    def find(seconds):
        clock.now += 1000  # between two sessions: not counted
        return search(
            problems=[Single()], sampler=sampler, clock=clock, path=path, budget=Budget(max_seconds=seconds), batch=3
        )

    (first,) = find(7)
    assert len(first.answers) == len(sampler.sent) == 7
    assert find(7) == [first]
    assert len(sampler.sent) == 7
    (longer,) = find(12)
    assert len(longer.answers) == len(sampler.sent) == 12
    assert longer.candidates[: len(first.candidates)] == first.candidates
    assert read_results(path) == [longer]


def test_what_is_under_way_when_the_time_is_over_still_counts():
    clock = Clock()
    problem = Single()

    def before(request):
        clock.now += 10 if request.id == 1 else 0  # the time passes while three are under way

    sampler = StreamingScript(toy_sampler(problem), disorder=0, max_concurrency=3, before=before)
    (result,) = search(problems=[problem], sampler=sampler, clock=clock, budget=Budget(max_seconds=5), batch=3)
    assert len(result.answers) == len(sampler.sent) == 3
