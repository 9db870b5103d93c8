import threading

from search.ledger import read_results
from search.procedures import Evolution
from tests.search.rounds.searching import Recorder, search_toys
from tests.search.toy_problem import ToyProblem, toy_sampler


def test_overlapping_rounds_know_one_round_less_and_are_as_reproducible(tmp_path):
    knew = []

    class Watching(Evolution):
        told = 0

        def ask(self, num, rng, pending=()):
            knew.append(self.told)
            return super().ask(num, rng)

        def tell(self, results):
            self.told += len(results)
            super().tell(results)

    def watching(problem):
        return Watching(problem.vary)

    first = search_toys(watching, num=1, overlap=True, path=tmp_path / "run.jsonl")
    assert knew[:4] == [0, 0, 4, 8]
    assert search_toys(watching, num=1, overlap=True, evaluators=3) == first == read_results(tmp_path / "run.jsonl")
    assert search_toys(num=1) != first
    assert first[0].answers[-1] <= 40


def test_round_is_sampled_while_the_one_before_it_is_evaluated():
    sampled = threading.Event()

    class Patient(ToyProblem):
        def evaluate(self, answers):
            assert sampled.wait(20), "the next round was not sampled while this one was evaluated"
            return super().evaluate(answers)

    class Signalling(Recorder):
        def sample(self, requests):
            if self.calls:
                sampled.set()
            return super().sample(requests)

    problem = Patient("toy-0")
    search_toys(problems=[problem], sampler=Signalling(toy_sampler(problem)), overlap=True)


def test_problems_of_a_round_are_evaluated_side_by_side_if_there_are_workers(tmp_path):
    together = threading.Barrier(3, timeout=20)

    class Joined(ToyProblem):
        met = False

        def evaluate(self, answers):
            if not self.met:
                together.wait()
                self.met = True
            return super().evaluate(answers)

    assert search_toys(problems=[Joined(f"toy-{i}") for i in range(3)], evaluators=3) == search_toys()
