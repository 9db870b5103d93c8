import pytest

from search.budget import Budget
from search.driver import run_search
from search.ledger import LedgerError
from search.procedures import BestOfN, Evolution
from search.records import Sampling
from search.replay import replay_search
from tests.search.streaming import StreamingScript, count_words
from tests.search.toy_problem import toy_problems, toy_sampler

DRIVERS = {
    "rounds": {"mode": "rounds"},
    "overlap": {"mode": "rounds", "overlap": True},
    "ordered": {},
    "unordered": {"ordered": False},
    "solving": {"target": 1.0},
    "counted": {"budget": Budget(max_total_tokens=400), "counting": True},
    "timed": {"budget": Budget(max_answers=60, max_seconds=1e6)},
}


def evolve(problem):
    return Evolution(problem.vary)


def search(path, driver="ordered", **options):
    problems = toy_problems(3)
    settings = {"budget": Budget(max_answers=40), "counting": False} | DRIVERS[driver] | options
    budget, counting = settings.pop("budget"), settings.pop("counting")
    scripted = toy_sampler(problems[0])
    rounds = settings.get("mode") == "rounds"
    sampler = scripted if rounds else StreamingScript(scripted, disorder=0, counting=counting)
    options = {"batch": 4, "sampling": Sampling(max_new_tokens=20), "ledger_path": path, **settings}
    return run_search(problems, evolve, sampler, budget, **options)


def replay(path, driver="ordered", make=evolve, problems=None, **options):
    count = count_words if driver == "counted" else None
    return replay_search(problems or toy_problems(3), make, path, count_tokens=count, **options)


@pytest.mark.parametrize("driver", DRIVERS)
def test_replay_finds_what_the_run_found_at_every_point_of_it(tmp_path, driver):
    path = tmp_path / "run.jsonl"
    results = search(path, driver)
    before = path.read_bytes()
    found = replay(path, driver)
    assert found.results == results and path.read_bytes() == before
    assert found.num_told == sum(len(result.answers) for result in results)
    lines = before.splitlines(keepends=True)
    for num_kept in range(1, len(lines), 5):
        path.write_bytes(b"".join(lines[:num_kept]))
        part = replay(path, driver)
        for partial, whole in zip(part.results, results, strict=True):
            assert partial.candidates == whole.candidates[: len(partial.candidates)]
        assert part.num_told + part.num_open == sum(b'"kind":"generation"' in line for line in lines[:num_kept])
        assert path.read_bytes() == b"".join(lines[:num_kept])


def test_evaluations_that_agree_are_counted_and_those_that_do_not_are_named(tmp_path):
    path = tmp_path / "run.jsonl"
    results = search(path)
    found = replay(path, evaluate=True, evaluators=2)
    distinct = sum(len({c.answer for c in result.candidates}) for result in results)
    assert (found.num_evaluated, found.differences) == (distinct, ())

    problems = toy_problems(3)
    answer = next(c.answer for c in results[1].candidates if sum(c.vector) == 1)
    score = problems[1].score
    problems[1].score = lambda text: (0.5, 0.0, 0.0, 0.0) if text == answer else score(text)
    (difference,) = replay(path, problems=problems, evaluate=True).differences
    assert (difference.problem_id, difference.answer) == ("toy-1", answer)
    assert difference.now == "ok [0.5, 0.0, 0.0, 0.0]" != difference.recorded


def test_completion_that_is_parsed_otherwise_now_is_named(tmp_path):
    path = tmp_path / "run.jsonl"
    search(path)
    problems = toy_problems(3)
    parse = problems[0].parse
    problems[0].parse = lambda text: parse(text)[:2]
    differences = replay(path, problems=problems, evaluate=True).differences
    assert differences and {each.problem_id for each in differences} == {"toy-0"}


def test_non_finite_vector_agrees_with_what_the_driver_made_of_it(tmp_path):
    path = tmp_path / "run.jsonl"

    def broken():
        problems = toy_problems(3)
        for problem in problems:
            problem.score = lambda answer: (float("nan"), 0.0)
        return problems

    problems = broken()
    sampler = StreamingScript(toy_sampler(problems[0]))
    run_search(problems, evolve, sampler, Budget(max_answers=9), ledger_path=path)
    assert replay(path, problems=broken(), evaluate=True).differences == ()
    assert replay(path, evaluate=True).differences != ()


def test_other_code_than_that_of_the_run_is_noticed(tmp_path):
    path = tmp_path / "run.jsonl"
    search(path)
    with pytest.raises(LedgerError, match="expected the same procedure as in its header"):
        replay(path, make=lambda problem: BestOfN())
    with pytest.raises(LedgerError, match="expected the same problems as in its header"):
        replay(path, problems=toy_problems(2))
    problems = toy_problems(3)
    problems[2].scalar = lambda vector: vector[0]
    with pytest.raises(LedgerError, match="has another scalar now"):
        replay(path, problems=problems)


def test_count_of_tokens_that_a_run_had_is_asked_for(tmp_path):
    path = tmp_path / "run.jsonl"
    search(path, "counted")
    with pytest.raises(ValueError, match="expected count_tokens: pass the method of that sampler"):
        replay_search(toy_problems(3), evolve, path)
