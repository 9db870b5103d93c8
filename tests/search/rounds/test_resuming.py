import json
from itertools import pairwise

import numpy as np
import pytest

from search.budget import Budget
from search.driver import run_search
from search.ledger import LedgerError
from search.procedures import BestOfN, Evolution
from search.records import Sampling, Variation
from tests.search.rounds.searching import BUDGET, SAMPLING, Recorder, best_of_n, evolve, search_toys, timeless_lines
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler


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
        rows = [json.loads(line) for line in lines[1:num_kept]]
        known = {(row["problem"], a["answer"]) for row in rows for a in row.get("answers", ())}
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
        def ask(self, num, rng, pending=()):
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
    path.write_bytes(b"".join(lines[: 1 + 24 + 5]))  # each round writes 12 completions, then 12 evaluations
    resumed = []
    search_toys(path=path, progress=resumed.append)
    assert [p.num_replayed for p in resumed[:3]] == [12, 5, 0]
