import asyncio
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.budget import Budget
from search.driver import SearchInterrupted, run_search
from search.ledger import LedgerError, read_results, read_told
from search.procedures import BestOfN, Evolution
from search.records import Proposal, Sampling, Variation
from search.samplers import ScriptedSampler
from tests.search.streaming import StreamingScript, count_words
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler

SAMPLING = Sampling(max_new_tokens=20)


def evolve(problem):
    return Evolution(problem.vary)


def search(*, num=3, problems=None, make=evolve, budget=None, disorder=0, sampler=None, path=None, batch=6, **options):
    problems = problems or toy_problems(num)
    sampler = sampler or StreamingScript(toy_sampler(problems[0]), disorder=disorder)
    budget = budget or Budget(max_answers=40)
    return run_search(problems, make, sampler, budget, batch=batch, sampling=SAMPLING, ledger_path=path, **options)


class Single(ToyProblem):
    """One answer a completion, whose digits the script chooses."""

    def __init__(self, name="single", **options):
        super().__init__(name, num_answers=1, **options)


def answering(*answers: str, **options) -> StreamingScript:
    """Answers request i with the i-th answer; ids are numbers, as there is one problem."""
    queue = {}

    def script(prompt, prefix, seed):
        return answers[queue.setdefault(seed, len(queue)) % len(answers)]

    return StreamingScript(ScriptedSampler(script), **options)


# --- what is found does not depend on the clock ----------------------------------------------------------------------


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


# --- slots, workers, duplicates --------------------------------------------------------------------------------------


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


# --- budgets ---------------------------------------------------------------------------------------------------------


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


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(problem, clock, seconds=1.0):
    def before(request):
        clock.now += seconds

    return StreamingScript(toy_sampler(problem), max_concurrency=1, before=before)


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


# --- solved ----------------------------------------------------------------------------------------------------------


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


# --- when things go wrong --------------------------------------------------------------------------------------------


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


# --- procedures, contexts, loops -------------------------------------------------------------------------------------


def test_procedure_that_wants_nothing_now_is_asked_again_after_the_next_result():
    class Careful(BestOfN):
        asked = told = 0

        def ask(self, num, rng, pending=()):
            return [Proposal()] if self.told % 3 == 0 and self.told < 9 else []

        def tell(self, results):
            self.told += len(results)

    (result,) = search(problems=[Single()], make=lambda p: Careful(), batch=3)
    assert len(result.answers) == 1  # after one result it wants none, and none is open: that is the end

    class Pairs(BestOfN):
        told = 0

        def ask(self, num, rng, pending=()):
            return [Proposal()] * (num if self.told % 2 == 0 and self.told < 10 else 0)

        def tell(self, results):
            self.told += len(results)

    (result,) = search(problems=[Single()], make=lambda p: Pairs(), batch=2)
    assert len(result.answers) >= 10


def test_sampler_that_is_a_context_is_entered_and_left_even_after_an_error():
    class Opened(StreamingScript):
        steps = ()

        async def __aenter__(self):
            self.steps += ("entered",)
            return self

        async def __aexit__(self, *exc):
            self.steps += ("left",)

    sampler = Opened(toy_sampler(ToyProblem("toy-0")))
    search(sampler=sampler)
    assert sampler.steps == ("entered", "left")

    def before(request):
        raise OSError("gone")

    sampler = Opened(toy_sampler(ToyProblem("toy-0")), before=before)
    with pytest.raises(OSError, match="gone"):
        search(sampler=sampler)
    assert sampler.steps == ("entered", "left")


def test_search_runs_where_an_event_loop_runs_already():
    async def notebook():
        return search()

    assert asyncio.run(notebook()) == search()


def test_progress_says_what_was_found_and_spent_and_what_is_left(tmp_path):
    path, seen, clock = tmp_path / "run.jsonl", [], Clock()
    sampler = timed(ToyProblem("toy-0"), clock)
    results = search(sampler=sampler, path=path, progress=seen.append, clock=clock, num=2)
    first, last = seen[0], seen[-1]
    assert last.num_answers == sum(result.answers[-1] for result in results)
    assert last.completion_tokens == sum(result.completion_tokens[-1] for result in results)
    assert last.prompt_tokens == sum(result.prompt_tokens[-1] for result in results)
    assert last.best == max(result.best[-1] for result in results)
    assert (last.num_finished, last.num_problems, last.share_spent, last.seconds_left) == (2, 2, 1.0, 0.0)
    assert last.seconds == len(sampler.sent) == last.round
    assert first.seconds_left is None  # no pace yet
    # one request a second: by the pace since the first report, what is left takes as long as its share
    middle = seen[len(seen) // 2]
    pace = (middle.share_spent - first.share_spent) / (middle.seconds - first.seconds)
    assert middle.seconds_left == pytest.approx((1 - middle.share_spent) / pace)
    assert all(a.num_answers <= b.num_answers and a.share_spent <= b.share_spent for a, b in pairwise(seen))

    again = []
    search(path=path, progress=again.append, num=2)
    assert again[-1].num_replayed == last.round and again[-1].num_answers == last.num_answers


# --- at the door -----------------------------------------------------------------------------------------------------


class Batches:
    def sample(self, requests):
        return []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "rounds"}, "mode is 'rounds', which needs a sampler with `sample`, and StreamingScript has none"),
        ({"mode": "fast"}, "mode is 'fast', expected 'auto', 'rounds' or 'stream'"),
        ({"overlap": True}, "overlap=True goes with rounds alone"),
        ({"ordered": False, "sampler": Batches()}, "ordered=False goes with a stream alone"),
        ({"mode": "stream", "sampler": Batches()}, "needs a sampler with `generate`, and Batches has none"),
        ({"sampler": object()}, "object has neither `sample` nor `generate`"),
        ({"max_in_flight": 0}, "max_in_flight is 0, expected at least 1"),
        ({"evaluators": 0}, "evaluators is 0, expected at least 1 or a pool"),
        ({"target": float("nan")}, "target is nan, expected a finite scalar"),
        ({"batch": 0}, "batch is 0, expected at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        search(path=tmp_path / "run.jsonl", **options)
    assert list(tmp_path.iterdir()) == []
