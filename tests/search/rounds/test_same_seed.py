import pytest

from search.ledger import read_results
from tests.search.rounds.searching import Recorder, best_of_n, evolve, search_toys, timeless_lines
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler


@pytest.mark.parametrize("make", [evolve, best_of_n])
def test_same_seed_gives_the_same_ledger_and_results(tmp_path, make):
    first = search_toys(make, path=tmp_path / "a.jsonl")
    second = search_toys(make, path=tmp_path / "b.jsonl")
    assert timeless_lines(tmp_path / "a.jsonl") == timeless_lines(tmp_path / "b.jsonl")
    assert first == second == search_toys(make)  # with or without a record
    assert first == read_results(tmp_path / "a.jsonl")
    assert search_toys(make, seed=1) != first


def test_problem_is_searched_the_same_whoever_is_searched_beside_it():
    problems = toy_problems(4)
    alone = search_toys(problems=[ToyProblem("toy-2")])
    assert search_toys(problems=problems)[2] == alone[0]


def test_one_sampler_call_a_round_serves_all_problems_and_seeds_are_distinct():
    recorder = Recorder(toy_sampler(ToyProblem("toy-0")))
    search_toys(sampler=recorder, num=5)
    assert [len(call) for call in recorder.calls[:2]] == [20, 20]
    requests = [request for call in recorder.calls for request in call]
    assert len({request.seed for request in requests}) == len(requests)
    assert len({request.id for request in requests}) == len(requests)
