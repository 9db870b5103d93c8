import pytest

from search.budget import Budget
from search.driver import SearchInterrupted
from tests.search.rounds.searching import Recorder, search_toys
from tests.search.toy_problem import ToyProblem, toy_sampler


def test_problem_is_done_after_the_round_that_solved_it():
    results = search_toys(num=6, target=1.0)
    whole = search_toys(num=6)
    assert any(result.solved for result in results)
    for result, longer in zip(results, whole, strict=True):
        assert result.candidates == longer.candidates[: len(result.candidates)]
        assert result.solved == (max(c.scalar for c in longer.candidates) >= 1.0)
        if result.solved:
            assert not any(best >= 1.0 for best in result.best[:-4])


def test_no_round_is_sampled_when_the_time_is_over_and_a_resumed_run_may_be_given_more(tmp_path):
    path, now = tmp_path / "run.jsonl", [0.0]

    class Slow(Recorder):
        def sample(self, requests):
            now[0] += 1
            return super().sample(requests)

    def find(seconds):
        now[0] += 100  # between sessions
        sampler = Slow(toy_sampler(ToyProblem("toy-0")))
        budget = Budget(max_answers=40, max_seconds=seconds)
        return search_toys(path=path, sampler=sampler, budget=budget, clock=lambda: now[0]), len(sampler.calls)

    first, num_rounds = find(2)
    assert num_rounds == 2 and [len(result.answers) for result in first] == [8, 8, 8]
    assert find(2) == (first, 0)
    assert find(1000)[0] == search_toys()


def test_ctrl_c_in_a_round_keeps_what_there_is(tmp_path):
    class Interrupted(Recorder):
        after = 2

        def sample(self, requests):
            if len(self.calls) == self.after:
                raise KeyboardInterrupt
            return super().sample(requests)

    path = tmp_path / "run.jsonl"
    with pytest.raises(SearchInterrupted, match=r"stopped after 24 results; .* holds them all"):
        search_toys(path=path, sampler=Interrupted(toy_sampler(ToyProblem("toy-0"))))
    Interrupted.after = None
    assert search_toys(path=path, sampler=Interrupted(toy_sampler(ToyProblem("toy-0")))) == search_toys()
