import asyncio
import threading

import pytest

from search.budget import Budget
from search.ledger import read_results
from search.procedures import BestOfN
from search.samplers import ScriptedSampler
from tests.search.stream.searching import Single, search
from tests.search.streaming import StreamingScript


class Hanging(StreamingScript):
    """Requests of some numbers never return."""

    def __init__(self, sampler, hangs, **options):
        super().__init__(sampler, **options)
        self.hangs = hangs

    async def generate(self, request):
        if request.id in self.hangs:
            self.sent.append(request)
            try:
                await asyncio.Event().wait()
            finally:
                self.aborted.append(request.id)
        return await super().generate(request)


@pytest.mark.parametrize("ordered", [True, False])
def test_siblings_are_cut_off_when_a_problem_is_solved_and_their_tokens_are_on_the_bill(tmp_path, ordered):
    """0 is wrong and makes room for 5; 1 solves; 2, 3 and 4 hang; 5 comes back, and is told only out of order."""
    fifth_is_back = threading.Event()
    solution = " ".join(Single().target)
    wrong = " ".join(str((int(digit) + 1) % 4) for digit in Single().target)

    class Waiting(Single):
        def evaluate(self, answers):
            if solution in answers:
                assert fifth_is_back.wait(20)
            return super().evaluate(answers)

    class Sampler(Hanging):
        async def generate(self, request):
            generation = await super().generate(request)
            if request.id == 5:
                fifth_is_back.set()
            return generation

    numbers = {}
    sampler = Sampler(
        ScriptedSampler(lambda prompt, prefix, seed: solution if numbers[seed] == 1 else wrong),
        hangs={2, 3, 4},
        max_concurrency=6,
        before=lambda request: numbers.update({request.seed: request.id}),
    )
    (result,) = search(
        problems=[Waiting()],
        make=lambda p: BestOfN(),
        sampler=sampler,
        ordered=ordered,
        target=1.0,
        batch=5,
        path=tmp_path / "run.jsonl",
        budget=Budget(max_answers=100),
    )
    assert result.solved and result.best[0] == 0.0 and result.best[-1] == 1.0
    assert sorted(sampler.aborted)[:3] == [2, 3, 4]
    if ordered:
        assert result.best == (0.0, 1.0)
        assert (result.num_aborted, result.aborted_tokens) == (4, 5)  # four digits and the end of the completion
    else:
        assert 3 <= result.num_aborted <= 4  # those that hang, and perhaps one that the solution overtook
    (read,) = read_results(tmp_path / "run.jsonl")
    assert (read, read.num_aborted, read.aborted_tokens) == (result, result.num_aborted, result.aborted_tokens)


def test_solution_that_came_early_waits_for_its_turn_and_those_behind_it_are_not_waited_for():
    problem = Single()
    solution, wrong = " ".join(problem.target), "9 9 9 9"
    hold = asyncio.Event()
    numbers = {}

    class Held(Hanging):
        async def generate(self, request):
            numbers[request.seed] = request.id
            if request.id == 0:
                await hold.wait()  # until the solution is evaluated
            return await super().generate(request)

    class Opening(Single):
        def evaluate(self, answers):
            if solution in answers:
                loop.call_soon_threadsafe(hold.set)
            return super().evaluate(answers)

    sampler = Held(ScriptedSampler(lambda p, x, seed: solution if numbers[seed] == 1 else wrong), hangs={2, 3})
    loop = None

    async def remember(request):
        nonlocal loop
        loop = asyncio.get_running_loop()
        return await Held.generate(sampler, request)

    sampler.generate = remember
    (result,) = search(problems=[Opening()], make=lambda p: BestOfN(), sampler=sampler, target=1.0, batch=4, num=1)
    assert result.best == (0.0, 1.0) and result.solved
    assert sorted(sampler.aborted) == [2, 3]


def test_archive_of_a_solved_problem_is_the_same_whatever_the_order_of_arrival():
    first = search(target=1.0, disorder=0, num=6)
    assert any(result.solved for result in first)
    for disorder in (1, 2, None):
        assert search(target=1.0, disorder=disorder, num=6) == first
    for result in first:
        assert result.solved == (result.best[-1] >= 1.0)
        assert not any(best >= 1.0 for best in result.best[:-1])
