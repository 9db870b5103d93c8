import json

from search.ledger import read_results, read_told
from search.procedures import Evolution
from tests.search.stream.searching import Single, search
from tests.search.toy_problem import ToyProblem, toy_problems


def test_archive_is_the_same_whatever_the_order_of_arrival_and_the_number_of_slots(tmp_path):
    first = search(path=tmp_path / "a.jsonl")
    assert search(disorder=1, path=tmp_path / "b.jsonl") == first
    assert search(disorder=None, max_in_flight=1) == first
    assert search(disorder=2, max_in_flight=50, evaluators=3) == first
    assert read_results(tmp_path / "a.jsonl") == first == read_results(tmp_path / "b.jsonl")
    assert search(seed=1) != first

    def rows(name):
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "wall"} for row in lines]

    assert rows("a.jsonl") != rows("b.jsonl"), "both arrived in the same order, so nothing was shown"
    assert sorted(map(json.dumps, rows("a.jsonl"))) == sorted(map(json.dumps, rows("b.jsonl")))


def test_problem_is_searched_the_same_whoever_is_searched_beside_it():
    assert search(problems=[ToyProblem("toy-2")]) == search(num=4)[2:3]


def test_request_is_asked_for_when_all_but_the_window_before_it_are_told():
    knew = {}

    class Watching(Evolution):
        told = asked = 0

        def ask(self, num, rng, pending=()):
            for _ in range(num):
                knew[self.asked] = self.told
                self.asked += 1
            return super().ask(num, rng)

        def tell(self, results):
            assert [each.number for each in results] == [self.told]
            self.told += 1
            super().tell(results)

    search(problems=[Single()], make=lambda problem: Watching(problem.vary), batch=5)
    assert len(knew) == 40
    assert knew == {number: max(0, number - 4) for number in knew}


def test_out_of_order_results_are_told_as_they_arrive_and_a_resumed_run_follows_the_recorded_order(tmp_path):
    path = tmp_path / "run.jsonl"
    first = search(ordered=False, path=path)
    told = [[each.number for each in problem.results] for problem in read_told(path)]
    assert all(sorted(numbers) == list(range(len(numbers))) != numbers for numbers in told)
    assert search(ordered=False, disorder=1) != first
    lines = path.read_bytes().splitlines(keepends=True)
    for num_kept in range(1, len(lines), 7):
        path.write_bytes(b"".join(lines[:num_kept]))
        resumed = search(ordered=False, disorder=1, path=path)
        assert resumed == read_results(path)
        again = [[each.number for each in problem.results] for problem in read_told(path)]
        kept = [json.loads(line) for line in lines[1:num_kept]]
        for problem, numbers in zip(toy_problems(3), again, strict=True):
            evaluated = [r["number"] for r in kept if r["kind"] == "evaluation" and r["problem"] == problem.id]
            assert numbers[: len(evaluated)] == evaluated
