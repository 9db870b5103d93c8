import signal

import pytest

from search.driver import SearchInterrupted
from search.ledger import LedgerError, read_results
from search.procedures import Evolution
from search.records import Variation
from tests.search.stream.searching import search
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_sampler


def test_ctrl_c_keeps_what_there_is_and_says_how_to_go_on(tmp_path):
    whole = search()
    path = tmp_path / "run.jsonl"
    evaluated = []

    class Logged(ToyProblem):
        def evaluate(self, answers):
            evaluated.extend((self.id, answer) for answer in answers)
            return super().evaluate(answers)

    def problems():
        return [Logged(f"toy-{i}") for i in range(3)]

    def before(request):
        if request.id == 20:
            signal.raise_signal(signal.SIGINT)

    sampler = StreamingScript(toy_sampler(ToyProblem("toy-0")), disorder=0, before=before)
    with pytest.raises(SearchInterrupted, match=r"stopped after \d+ results; .*run.jsonl holds them all"):
        search(sampler=sampler, path=path, problems=problems())
    assert search(path=path, problems=problems()) == whole
    assert len(evaluated) == len(set(evaluated)), "an evaluation that was under way got lost"
    with pytest.raises(SearchInterrupted, match="there is no ledger, so nothing is kept"):
        search(sampler=StreamingScript(toy_sampler(ToyProblem("toy-0")), before=before))


def test_sampler_that_fails_ends_the_run_and_the_ledger_goes_on_from_there(tmp_path):
    path = tmp_path / "run.jsonl"

    def before(request):
        if request.id == 20:
            raise OSError("the server is gone")

    sampler = StreamingScript(toy_sampler(ToyProblem("toy-0")), disorder=0, before=before)
    with pytest.raises(OSError, match="the server is gone"):
        search(sampler=sampler, path=path)
    assert sampler.in_flight == 0
    assert sum(len(result.answers) for result in read_results(path)) > 0
    assert search(path=path) == search()


def test_evaluator_that_fails_ends_the_run():
    class Broken(ToyProblem):
        def evaluate(self, answers):
            raise RuntimeError("no such test")

    with pytest.raises(RuntimeError, match="no such test"):
        search(problems=[Broken("toy-0")], evaluators=2)


def test_sampler_that_breaks_its_contract_is_stopped():
    class Greedy(StreamingScript):
        async def generate(self, request):
            generation = await super().generate(request)
            return type(generation)(**{**vars(generation), "completion_tokens": 21})

    with pytest.raises(ValueError, match="Greedy counted 21 generated tokens, expected 1 to max_new_tokens = 20"):
        search(sampler=Greedy(toy_sampler(ToyProblem("toy-0"))))


def test_changed_procedure_is_noticed_on_resume(tmp_path):
    path = tmp_path / "run.jsonl"
    search(path=path)
    with pytest.raises(LedgerError, match=r"answers another request.*vary"):
        search(path=path, make=lambda problem: Evolution(lambda *_: Variation(prefix="<answer_1>")))
    with pytest.raises(LedgerError, match=r"another configuration \(ordered: true there, false now\)"):
        search(path=path, ordered=False)
