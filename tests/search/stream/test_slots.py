import threading
from concurrent.futures import ThreadPoolExecutor

from search.budget import Budget
from search.ledger import read_results
from search.procedures import BestOfN
from search.samplers import ScriptedSampler
from tests.search.stream.searching import Single, search
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler


def answering(*answers: str, **options) -> StreamingScript:
    """Answers request i with the i-th answer; ids are numbers, as there is one problem."""
    queue = {}

    def script(prompt, prefix, seed):
        return answers[queue.setdefault(seed, len(queue)) % len(answers)]

    return StreamingScript(ScriptedSampler(script), **options)


def test_slots_of_the_sampler_are_used_and_never_more_than_there_are():
    for slots in (1, 3, 8):
        sampler = StreamingScript(toy_sampler(ToyProblem("toy-0")), disorder=0, max_concurrency=slots)
        search(sampler=sampler)
        assert sampler.most_in_flight == slots
    search(sampler=sampler, max_in_flight=2, problems=toy_problems(2))
    assert sampler.most_in_flight == 8  # from before


def test_slot_is_refilled_while_answers_are_evaluated():
    sent = threading.Event()

    class Patient(Single):
        def evaluate(self, answers):
            assert sent.wait(20), "the next request was not sent while this answer was evaluated"
            return super().evaluate(answers)

    def before(request):
        if request.id == 1:
            sent.set()

    problem = Patient()
    sampler = StreamingScript(toy_sampler(problem), max_concurrency=1, before=before)
    search(problems=[problem], sampler=sampler, batch=2, budget=Budget(max_answers=4))


def test_several_answers_are_evaluated_at_once_if_there_are_workers_for_them():
    together = threading.Barrier(2, timeout=20)

    class Paired(Single):
        def evaluate(self, answers):
            together.wait()
            return super().evaluate(answers)

    sampler = answering("0 0 0 0", "1 1 1 1", "2 2 2 2", "3 3 3 3")
    budget = Budget(max_answers=4)
    search(problems=[Paired()], make=lambda p: BestOfN(), sampler=sampler, evaluators=2, budget=budget)


def test_equal_answers_under_way_at_the_same_time_are_evaluated_once():
    gate = threading.Event()

    class Gated(Single):
        def evaluate(self, answers):
            assert gate.wait(20)
            return super().evaluate(answers)

    def before(request):
        if request.id == 3:
            gate.set()

    problem = Gated()
    sampler = answering("0 1 2 3", before=before)
    (result,) = search(
        problems=[problem], make=lambda p: BestOfN(), sampler=sampler, evaluators=4, budget=Budget(max_answers=6)
    )
    assert problem.evaluated == ["0 1 2 3"]
    assert [candidate.duplicate for candidate in result.candidates] == [False] + [True] * 5


def test_answers_with_one_canonical_form_share_their_evaluation_and_keep_their_text(tmp_path):
    class Spaced(Single):
        def parse(self, text):
            return [text]

        def canonical(self, answer):
            return " ".join(answer.split())

    def find(problem):
        return search(
            problems=[problem],
            make=lambda p: BestOfN(),
            sampler=answering("0 1  2 3", "0 1 2 3", "0  1 2 3"),
            budget=Budget(max_answers=3),
            path=tmp_path / "run.jsonl",
        )

    problem = Spaced()
    (result,) = find(problem)
    assert len(problem.evaluated) == 1
    assert [(c.answer, c.duplicate) for c in result.candidates] == [
        ("0 1  2 3", False),
        ("0 1 2 3", True),
        ("0  1 2 3", True),
    ]
    assert len({c.vector for c in result.candidates}) == 1
    assert find(Spaced()) == [result] == read_results(tmp_path / "run.jsonl")


def test_pool_of_ones_own_evaluates_and_stays_open():
    with ThreadPoolExecutor(2) as pool:
        assert search(evaluators=pool) == search()
        assert pool.submit(lambda: 1).result() == 1
