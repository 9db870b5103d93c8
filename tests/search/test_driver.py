import json
import math
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

from search.budget import Budget
from search.curves import best_so_far
from search.driver import run_search
from search.ledger import LedgerError, read_ledger, read_results
from search.procedures import BestOfN, Evolution
from search.records import Evaluation, Generation, Proposal, Sampling, Variation
from search.samplers import ScriptedSampler
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler

SAMPLING = Sampling(max_new_tokens=20)
BUDGET = Budget(max_answers=40)


def evolve(problem):
    return Evolution(problem.vary)


def best_of_n(problem):
    return BestOfN()


def timeless_lines(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [json.dumps({key: value for key, value in row.items() if key != "wall"}) for row in rows]


def search_toys(make=evolve, *, num=3, budget=BUDGET, seed=0, path=None, sampler=None, problems=None, **options):
    problems = problems or toy_problems(num)
    sampler = sampler or toy_sampler(problems[0])
    return run_search(
        problems, make, sampler, budget, batch=4, seed=seed, sampling=SAMPLING, ledger_path=path, **options
    )


class Recorder:
    """Passes requests on and keeps them."""

    def __init__(self, sampler):
        self.sampler = sampler
        self.calls = []

    def sample(self, requests):
        self.calls.append(list(requests))
        return self.sampler.sample(requests)


class Edited(Recorder):
    """Changes every generation on its way back."""

    def __init__(self, sampler, edit):
        super().__init__(sampler)
        self.edit = edit

    def sample(self, requests):
        return self.edit(super().sample(requests))


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
    assert [request.id for request in requests] == list(range(len(requests)))


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
    varied = [row for row in read_ledger(tmp_path / "run.jsonl")[1] if row["parents"]]
    assert len(varied) > 3
    for row in varied:
        parent = result.candidates[row["parents"][0]]
        kept = row["prefix"].split()[1:]  # behind the opening tag
        assert row["text"].startswith(row["prefix"])
        assert parent.answer.split()[: len(kept)] == kept
        assert parent.generation_id < row["number"]


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


def test_best_of_n_equals_the_offline_estimate_of_best_at_k():
    """Mean best-so-far of many searches against the unbiased best@k of one large pool, from its order statistics."""
    problem = ToyProblem("toy-0", num_answers=1)
    sampler = toy_sampler(problem, failure=0.0)
    num_problems, most = 400, 8

    class Twin(ToyProblem):  # the same problem under another id: independent runs
        def __init__(self, number):
            super().__init__("toy-0", num_answers=1)
            self.id = f"twin-{number}"

    twins = [Twin(i) for i in range(num_problems)]
    results = run_search(twins, best_of_n, sampler, Budget(max_answers=most), batch=3, sampling=SAMPLING)
    curves = best_so_far(results, range(1, most + 1), "answers")
    pool = run_search(
        [Twin(10**6)], best_of_n, sampler, Budget(max_answers=4000), batch=500, seed=1, sampling=SAMPLING
    )[0]
    scalars = np.sort([candidate.scalar for candidate in pool.candidates])
    n = len(scalars)
    for k in range(1, most + 1):
        # E[max of k of the n without replacement] = sum_i x_(i) C(i-1, k-1) / C(n, k)
        weights = [math.comb(i, k - 1) / math.comb(n, k) for i in range(n)]
        estimate = float(np.dot(weights, scalars))
        error = curves[:, k - 1].std(ddof=1) * (1 / num_problems + k / n) ** 0.5
        assert abs(curves[:, k - 1].mean() - estimate) < 4 * error


def test_best_so_far_averaged_over_all_orders_is_the_unbiased_estimate_exactly():
    problem = ToyProblem("toy-0", num_answers=1)
    (result,) = search_toys(
        best_of_n, problems=[problem], sampler=toy_sampler(problem, failure=0.0), budget=Budget(max_answers=6)
    )
    scalars = [candidate.scalar for candidate in result.candidates]
    orders = [np.maximum.accumulate(order) for order in permutations(scalars)]
    n = len(scalars)
    for k in range(1, n + 1):
        unbiased = sum(x * math.comb(i, k - 1) for i, x in enumerate(sorted(scalars))) / math.comb(n, k)
        assert np.mean([order[k - 1] for order in orders]) == pytest.approx(unbiased, abs=1e-12)


def test_evolution_beats_best_of_n_where_parts_of_an_answer_can_be_kept():
    problems = toy_problems(20, num_answers=1, num_slots=8, num_symbols=6)
    sampler = toy_sampler(problems[0], num_symbols=6, failure=0.0)
    budget = Budget(max_answers=200)
    evolved = [r.best[-1] for r in search_toys(evolve, problems=problems, sampler=sampler, budget=budget)]
    drawn = [r.best[-1] for r in search_toys(best_of_n, problems=problems, sampler=sampler, budget=budget)]
    assert np.mean(evolved) > np.mean(drawn) + 0.1


def test_finished_run_is_read_back_without_sampling_or_evaluating(tmp_path):
    first = search_toys(path=tmp_path / "run.jsonl")
    before = (tmp_path / "run.jsonl").read_bytes()
    recorder = Recorder(toy_sampler(ToyProblem("toy-0")))
    problems = toy_problems(3)
    assert search_toys(path=tmp_path / "run.jsonl", sampler=recorder.sampler, problems=problems) == first
    assert [problem.evaluated for problem in problems] == [[], [], []]
    assert (tmp_path / "run.jsonl").read_bytes() == before


def test_run_cut_off_after_any_row_resumes_to_the_same_ledger(tmp_path):
    path = tmp_path / "run.jsonl"
    first = search_toys(path=path)
    whole, lines = timeless_lines(path), path.read_bytes().splitlines(keepends=True)
    for num_kept in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:num_kept]))
        problems = toy_problems(3)
        assert search_toys(path=path, problems=problems) == first
        assert timeless_lines(path) == whole
        known = {(row["problem"], a["answer"]) for row in map(json.loads, lines[1:num_kept]) for a in row["answers"]}
        assert not known & {(problem.id, answer) for problem in problems for answer in problem.evaluated}


def test_changed_procedure_cannot_continue_a_ledger(tmp_path):
    search_toys(path=tmp_path / "run.jsonl")
    with pytest.raises(LedgerError, match=r"another configuration .*procedure"):
        search_toys(best_of_n, path=tmp_path / "run.jsonl")


def test_changed_mutation_is_noticed_although_the_configuration_does_not_show_it(tmp_path):
    search_toys(path=tmp_path / "run.jsonl")
    with pytest.raises(LedgerError, match=r"answers another request.*vary"):
        search_toys(lambda problem: Evolution(lambda *_: Variation(prefix="<answer_1>")), path=tmp_path / "run.jsonl")


def test_changed_scalar_is_noticed(tmp_path):
    class Reweighted(ToyProblem):
        def scalar(self, vector):
            return vector[0]

    search_toys(path=tmp_path / "run.jsonl")
    with pytest.raises(LedgerError, match="has another scalar now"):
        search_toys(path=tmp_path / "run.jsonl", problems=[Reweighted(f"toy-{i}") for i in range(3)])


def test_changed_batch_cannot_leave_rows_behind(tmp_path):
    class Lazy(BestOfN):
        def ask(self, num, rng):
            return []

    search_toys(best_of_n, path=tmp_path / "run.jsonl")
    with pytest.raises(LedgerError, match="rows were never asked for"):
        search_toys(lambda problem: Lazy(), path=tmp_path / "run.jsonl")


def test_another_model_cannot_continue_a_ledger(tmp_path):
    class Named(Recorder):
        def describe(self):
            return {"model": "b"}

    search_toys(path=tmp_path / "run.jsonl")
    with pytest.raises(LedgerError, match=r"another configuration .*sampler"):
        search_toys(path=tmp_path / "run.jsonl", sampler=Named(toy_sampler(ToyProblem("toy-0"))))


def test_procedure_may_ask_for_less_and_ends_its_problem_by_asking_for_nothing():
    class Two(BestOfN):
        def __init__(self):
            self.left = 2

        def ask(self, num, rng):
            return [Proposal()] if self.left else []

        def tell(self, results):
            self.left -= 1

    results = search_toys(lambda problem: Two())
    assert [len(result.answers) for result in results] == [2, 2, 2]


def test_budget_that_a_procedure_leaves_unasked_is_there_in_later_rounds():
    class OneByOne(BestOfN):
        def ask(self, num, rng):
            return [Proposal()]

    (result,) = search_toys(lambda problem: OneByOne(), num=1)
    assert 38 <= result.answers[-1] <= 40


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"sampling": Sampling(max_new_tokens=19)}, "sampling"),
        ({"batch": 5}, "batch"),
        ({"seed": 1}, "seed"),
        ({"budget_per_problem": Budget(max_answers=41)}, "budget"),
        ({"problems": toy_problems(3)}, "problems"),
    ],
)
def test_every_setting_that_rows_depend_on_belongs_to_the_identity_of_a_run(tmp_path, changed, name):
    problems = toy_problems(2)
    arguments = {"problems": problems, "budget_per_problem": BUDGET, "batch": 4, "seed": 0, "sampling": SAMPLING}
    fixed = {"make_procedure": evolve, "sampler": toy_sampler(problems[0]), "ledger_path": tmp_path / "run.jsonl"}
    run_search(**fixed, **arguments)
    with pytest.raises(LedgerError, match=rf"another configuration \({name}: "):
        run_search(**fixed, **{**arguments, **changed})


def test_progress_reports_each_round_and_what_came_from_the_ledger(tmp_path):
    path = tmp_path / "run.jsonl"
    seen = []
    results = search_toys(path=path, progress=seen.append)
    assert [p.round for p in seen] == list(range(1, len(seen) + 1))
    assert all(a.num_answers < b.num_answers and a.mean_best <= b.mean_best for a, b in pairwise(seen))
    last = seen[-1]
    assert last.num_answers == sum(result.answers[-1] for result in results)
    assert last.completion_tokens == sum(result.completion_tokens[-1] for result in results)
    assert last.mean_best == pytest.approx(np.mean([result.best[-1] for result in results]))
    assert {p.num_replayed for p in seen} == {0}

    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: 1 + 12 + 5]))
    resumed = []
    search_toys(path=path, progress=resumed.append)
    assert [p.num_replayed for p in resumed[:3]] == [12, 5, 0]


def too_many(generations):
    return generations[:-1]


def out_of_order(generations):
    return generations[::-1]


def change(**values):
    def edit(generations):
        return [Generation(**{**vars(generation), **values}) for generation in generations]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (too_many, "expected .* give one generation per request, in order"),
        (out_of_order, "give one generation per request, in order"),
        (change(completion_tokens=0), "counted 0 generated tokens, expected 1 to max_new_tokens = 20"),
        (change(completion_tokens=21), "counted 21 generated tokens"),
        (change(text=" <answer_1> 1 1 1 1 </answer_1>"), "expected it to begin with the prefix"),
    ],
)
def test_sampler_that_breaks_its_contract_is_stopped(edit, message):
    with pytest.raises(ValueError, match=message):
        search_toys(sampler=Edited(toy_sampler(ToyProblem("toy-0")), edit))


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("evaluate", lambda answers: [], "gave 0 vectors for .* answers, expected one each"),
        ("evaluate", lambda answers: [(0.0,) * (1 + i) for i in range(len(answers))], "expected one length"),
        (
            "evaluate",
            lambda answers: [()] * len(answers),
            r"vectors of lengths \[0\], expected one length of at least 1",
        ),
        ("parse", lambda text: ["a"] * 4, "gave 4 answers, expected at most num_answers = 3"),
        ("scalar", lambda vector: math.nan, "gave nan, expected a finite number"),
    ],
)
def test_problem_that_breaks_its_contract_is_stopped(method, value, message):
    problem = ToyProblem("toy-0")
    setattr(problem, method, value)
    with pytest.raises(ValueError, match=message):
        search_toys(problems=[problem])


def test_procedure_that_proposes_too_much_is_stopped():
    class Greedy(BestOfN):
        def ask(self, num, rng):
            return [Proposal()] * (num + 1)

    with pytest.raises(ValueError, match=r"ask\(4\) of Greedy gave 5 proposals"):
        search_toys(lambda problem: Greedy())


def test_bad_arguments_are_refused(tmp_path):
    sampler = toy_sampler(ToyProblem("toy-0"))
    with pytest.raises(ValueError, match="problems is empty, expected at least one"):
        run_search([], best_of_n, sampler, BUDGET)
    with pytest.raises(ValueError, match="batch is 0, expected at least 1"):
        run_search(toy_problems(1), best_of_n, sampler, BUDGET, batch=0)
    with pytest.raises(ValueError, match=r"problem ids \['toy-0'\] occur more than once"):
        run_search([*toy_problems(2), *toy_problems(1)], best_of_n, sampler, BUDGET)
    with pytest.raises(ValueError, match="cannot hold one request of problem 'toy-0', which may cost"):
        run_search(toy_problems(1), best_of_n, sampler, Budget(max_completion_tokens=511), ledger_path=tmp_path / "x")
    assert list(tmp_path.iterdir()) == []  # refused before anything was written
    with pytest.raises(ValueError, match="num_answers = 0, expected at least 1"):
        problem = ToyProblem("toy-0")
        problem.num_answers = 0
        run_search([problem], best_of_n, sampler, BUDGET)


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
