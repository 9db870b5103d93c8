import itertools
import json
import time

import pytest

from search.budget import Budget
from search.ledger import read_ledger, read_results
from search.screening import Screening
from tests.search.screening.searching import SLOTS, searched, toy
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import toy_sampler

TIME = {"max_answers": 80, "max_seconds": 1e5}
ON = Screening(trusted=True, warm_up=8, audit=0.3, least_skill=0.9, predictor=SLOTS)


def streaming(problem, disorder, **options):
    return StreamingScript(toy_sampler(problem), disorder=disorder, **options)


def test_search_in_order_is_the_same_whatever_comes_back_when(tmp_path):
    found = []
    for disorder, evaluators, slots in [(0, 1, 8), (1, 3, 8), (None, 2, 3)]:
        problem, path = toy(3), tmp_path / f"{disorder}"
        options = {"evaluators": evaluators, "max_in_flight": slots, "ledger_path": path, "batch": 6}
        result = searched(problem, ON, sampler=streaming(problem, disorder), **options)
        screen = {row["number"]: row.get("screen") for row in read_ledger(path)[1] if row["kind"] == "evaluation"}
        found.append((result, sorted(screen.items(), key=lambda item: item[0]), sorted(problem.evaluated)))
    assert found[0][0].dropped[-1] > 20
    assert found[0] == found[1] == found[2]


def test_search_out_of_order_drops_too_and_resumes_to_what_it_told(tmp_path):
    problem = toy(3)
    result = searched(problem, ON, sampler=streaming(problem, 4), ordered=False, ledger_path=tmp_path / "ledger")
    assert result.dropped[-1] > 20
    again = toy(3)
    assert searched(again, ON, sampler=streaming(again, 5), ordered=False, ledger_path=tmp_path / "ledger") == result
    assert again.evaluated == [] and read_results(tmp_path / "ledger") == [result]


@pytest.mark.parametrize("stop_at", [3, 17])
def test_search_that_runs_out_of_time_goes_on_as_if_it_had_not(tmp_path, stop_at):
    whole = toy(3)
    wanted = searched(whole, ON, sampler=streaming(whole, 2))
    hours = itertools.count()
    problem = toy(3)

    def clock():
        return 0.0 if next(hours) < 8 * stop_at else 1e6

    options = {"ledger_path": tmp_path / "ledger", "budget": Budget(max_answers=80, max_seconds=1e5)}
    searched(problem, ON, sampler=streaming(problem, 3), clock=clock, **options)
    rows = read_ledger(tmp_path / "ledger")[1]
    assert sum(row["kind"] == "generation" for row in rows) < len(wanted.best)
    options["budget"] = Budget(max_answers=80, max_seconds=1e9)
    found = searched(problem, ON, sampler=streaming(problem, 5), **options)
    assert found == wanted and sorted(problem.evaluated) == sorted(whole.evaluated)


def test_completions_behind_one_that_was_lost_wait_for_no_turn_when_the_time_is_over(tmp_path):
    whole = toy(3)
    wanted = searched(whole, ON, sampler=streaming(whole, 2), ledger_path=tmp_path / "whole", budget=Budget(**TIME))
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines[1:]]
    kept = [
        line for line, row in zip(lines[1:], rows, strict=True) if row["kind"] == "generation" and 0 < row["number"] < 8
    ]
    (tmp_path / "ledger").write_text("".join([lines[0], *kept]))  # the first request was on its way when it was killed
    problem = toy(3)
    options = {"ledger_path": tmp_path / "ledger", "budget": Budget(**TIME)}
    nothing = searched(problem, ON, sampler=streaming(problem, 3), clock=itertools.count(0, 1e6).__next__, **options)
    assert nothing.candidates == () and problem.evaluated == []
    assert searched(problem, ON, sampler=streaming(problem, 5), **options) == wanted


def test_failure_of_one_request_ends_the_search_though_others_wait_for_its_turn():
    problem = toy(3)

    def before(request):
        if request.id == 12:
            raise RuntimeError("the server has no more.")

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="no more"):
        searched(problem, ON, sampler=streaming(problem, 1, before=before))
    assert time.monotonic() - began < 4, "who waits for a turn that will not come was waited for"


def test_a_target_is_reached_in_a_stream_with_a_screen():
    problem = toy(3)
    result = searched(problem, ON, most=400, sampler=streaming(problem, 1), target=5 / 6)
    assert result.solved and result.best[-1] >= 5 / 6
