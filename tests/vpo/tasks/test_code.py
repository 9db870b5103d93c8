from __future__ import annotations

import ast
import base64
import json
import pickle
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vpo.tasks import inline_runner
from tests.vpo.tasks.task_rows import deepcoder_rows, humaneval_row, mbpp_row, write_rows
from vpo.tasks import get_task
from vpo.tasks.code import CodeTest
from vpo.tasks.code.cases import assertion_test, keep_small, read_tests, write_tests
from vpo.tasks.code.program import extract_program, program_label
from vpo.tasks.code.task import RunnerError

RUNNER = "tests.vpo.tasks.inline_runner.run"


def code_task(folder: Any, source: str, rows: list[dict[str, Any]], split: str = "train", **options: Any) -> Any:
    write_rows(folder / f"{split}.jsonl", rows)
    return get_task("code", path=str(folder), source=source, **options)


# --- what the data sets' rows become -------------------------------------------------------------------------------


def test_each_form_of_deepcoders_tests_is_read_and_its_solutions_pass(tmp_path):
    task = code_task(tmp_path, "deepcoder", deepcoder_rows(), runner=RUNNER, max_tests=4)
    rows = list(task.dataset("train", 9, 3))
    assert [len(read_tests(row["tests"])) for row in rows] == [3, 2, 1, 2]
    assert [task.score(task.reference(row), row) for row in rows] == [
        (1, 1, 1, None),
        (1, 1, None, None),
        (1, None, None, None),
        (1, 1, None, None),
    ]
    assert read_tests(rows[1]["tests"])[1] == CodeTest("call", "(-1, -2)", ("-3",), "add")
    assert read_tests(rows[2]["tests"]) == [CodeTest("call", "(4,)", ("[8]", "8"), "double")]
    assert read_tests(rows[3]["tests"])[0] == CodeTest("stdin", "a\nb", ("a a\nb b",))
    assert "reads standard input" in rows[0]["prompt"][0]["content"]
    assert "class Solution" in rows[1]["prompt"][0]["content"]
    assert "function named double" in rows[2]["prompt"][0]["content"]


def pack(tests: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def livecodebench_row(tests: str, date: str = "2025-01-04T00:00:00") -> dict[str, Any]:
    return {
        "question_content": "Echo.",
        "starter_code": "",
        "public_test_cases": json.dumps([{"input": "public", "output": "public", "testtype": "stdin"}]),
        "private_test_cases": tests,
        "metadata": "{}",
        "contest_date": date,
    }


def test_livecodebenchs_packed_tests_are_unpacked_and_nothing_in_them_is_run(tmp_path):
    tests = [{"input": "a", "output": "a", "testtype": "stdin"}]
    task = code_task(tmp_path, "livecodebench", [livecodebench_row(pack(tests)), livecodebench_row(json.dumps(tests))])
    for row in task.dataset("train", 9, 3):
        assert read_tests(row["tests"]) == [CodeTest("stdin", "a", ("a",))]
    public = code_task(tmp_path, "livecodebench", [livecodebench_row("")]).dataset("train", 9, 3)[0]
    assert read_tests(public["tests"])[0].input == "public"

    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "owned"), "w"))

    evil = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(ValueError, match=r"row 1, column 'private_test_cases' cannot be unpacked .it would import"):
        code_task(tmp_path, "livecodebench", [livecodebench_row(evil)]).dataset("train", 9, 3)
    assert not (tmp_path / "owned").exists()


def test_livecodebenchs_function_gets_its_name_from_the_problem(tmp_path):
    row = livecodebench_row(json.dumps([{"input": '[1]\n"x"', "output": "null", "testtype": "functional"}]))
    row["metadata"] = '{"func_name": "go"}'
    (found,) = code_task(tmp_path, "livecodebench", [row]).dataset("train", 9, 3)
    assert read_tests(found["tests"]) == [CodeTest("call", "([1], 'x')", ("None",), "go")]


def test_humanevals_assertions_are_calls_where_they_can_be_and_scripts_with_its_helpers_where_not(tmp_path):
    task = code_task(tmp_path, "humaneval", [humaneval_row()], split="test", runner=RUNNER, max_tests=3)
    (row,) = task.dataset("test", 9, 3)
    call, script = read_tests(row["tests"])
    assert call == CodeTest("call", "([2, 4],)", ("[1.0, 2.0]",), "halve")
    assert script.kind == "script"
    assert "import math" in script.input and "def one()" in script.input and "candidate = halve" in script.input
    assert "def halve" not in script.input  # the stub would replace the answer's own
    assert task.score(task.reference(row), row) == (1, 1, None)
    assert task.score("def halve(xs):\n    return xs", row) == (0, 0, None)
    with pytest.raises(ValueError, match="HumanEval has no training rows"):
        get_task("code", source="humaneval").dataset("train", 1, 3)


def test_a_check_that_is_more_than_assertions_is_one_test(tmp_path):
    row = humaneval_row()
    row["test"] = "def check(candidate):\n    for x in ([2], [4]):\n        assert candidate(x)[0] == x[0] / 2\n"
    task = code_task(tmp_path, "humaneval", [row], split="test", runner=RUNNER, max_tests=2)
    (found,) = task.dataset("test", 9, 3)
    assert task.score(task.reference(found), found) == (1, None)
    assert task.score("def halve(xs):\n    return [1.0]", found) == (0, None)


def test_mbpps_assertions_are_tests_and_the_first_is_shown(tmp_path):
    task = code_task(tmp_path, "mbpp", [mbpp_row()], runner=RUNNER, max_tests=3)
    (row,) = task.dataset("train", 9, 3)
    first, second = read_tests(row["tests"])
    assert first == CodeTest("call", "((1, 2),)", ("(2, 1)",), "swap")
    assert second == CodeTest("script", "assert set(swap((1, 1))) == {1}")
    assert task.score(task.reference(row), row) == (1, 1, None)
    assert "assert swap((1, 2)) == (2, 1)" in row["prompt"][0]["content"]
    assert "{1}" not in row["prompt"][0]["content"]


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("assert f(1, [2]) == {'a': None}", CodeTest("call", "(1, [2])", ("{'a': None}",), "f")),
        ("assert -3 == f()", CodeTest("call", "()", ("-3",), "f")),
        ("assert f(x) == 1", CodeTest("script", "assert f(x) == 1")),
        ("assert f(a=1) == 1", CodeTest("script", "assert f(a=1) == 1")),
        ("assert f(1)", CodeTest("script", "assert f(1)")),
        ("assert f(1) == 1 == 1", CodeTest("script", "assert f(1) == 1 == 1")),
        ("assert g(1) == 1", CodeTest("script", "assert g(1) == 1")),
        ("assert f({[]}) == 1", CodeTest("script", "assert f({[]}) == 1")),
    ],
)
def test_an_assertion_is_a_call_only_where_all_of_it_is_literal(source, test):
    (statement,) = ast.parse(source).body
    assert assertion_test(statement, "f", "f") == test


@given(
    st.lists(st.builds(CodeTest, st.just("stdin"), st.text(max_size=9), st.tuples(st.text(max_size=9)))),
    st.integers(1, 5),
)
def test_the_smallest_tests_are_kept_in_their_order_and_survive_writing(tests, most):
    tests = [test for test in tests if not any("\ud800" <= c <= "\udfff" for c in test.input + test.expected[0])]
    kept = keep_small(tests, most, 12)
    assert len(kept) == min(most, sum(test.num_bytes <= 12 for test in tests))
    places = iter(tests)
    assert all(any(test is other for other in places) for test in kept)  # a subsequence
    left_out = [test.num_bytes for test in tests if test.num_bytes <= 12 and not any(test is other for other in kept)]
    assert not left_out or max(test.num_bytes for test in kept) <= min(left_out)
    assert read_tests(write_tests(kept)) == kept


def test_a_problem_whose_tests_are_all_too_large_is_left_out(tmp_path):
    big = {"problem": "Echo.", "tests": json.dumps([{"input": "x" * 99, "output": "x" * 99, "testtype": "stdin"}])}
    task = code_task(tmp_path, "deepcoder", [big, deepcoder_rows()[0]], max_test_bytes=50)
    assert task.dataset("train", 9, 3)["prompt"][0][0]["content"].startswith("Add two numbers.")
    assert len(task.dataset("train", 9, 3)) == 1


# --- the seam to the sandbox ---------------------------------------------------------------------------------------


def test_without_a_runner_there_are_prompts_and_an_error_before_anything_is_sampled(tmp_path):
    task = code_task(tmp_path, "deepcoder", deepcoder_rows())
    row = task.dataset("train", 1, 3)[0]
    with pytest.raises(ValueError, match="the code task has no runner"):
        task.reward_funcs  # noqa: B018
    with pytest.raises(ValueError, match="runner=, a function run"):
        task.score("x", row)


def test_a_runner_is_a_function_an_object_or_a_dotted_name(tmp_path):
    for runner in (inline_runner.run, inline_runner, RUNNER, "tests.vpo.tasks.inline_runner"):
        task = code_task(tmp_path, "deepcoder", deepcoder_rows()[2:3], runner=runner, max_tests=1)
        row = task.dataset("train", 1, 3)[0]
        assert task.score("def double(x): return x + x", row) == (1,)
    with pytest.raises(ValueError, match=r"'nowhere\.run' cannot be imported"):
        get_task("code", runner="nowhere.run")
    with pytest.raises(TypeError, match="expected a function run"):
        code_task(tmp_path, "deepcoder", deepcoder_rows(), runner=7).score("x", row)


@pytest.mark.parametrize(
    ("statuses", "message"),
    [(["ok"], "1 statuses for 3 tests"), (["ok", "infra", "ok"], "through no fault of the program")],
)
def test_a_runner_that_fails_is_an_error_and_never_a_reward(statuses, message, tmp_path):
    task = code_task(tmp_path, "deepcoder", deepcoder_rows()[:1], runner=lambda code, tests: statuses)
    with pytest.raises(RunnerError, match=message):
        task.score("print(1)", task.dataset("train", 1, 3)[0])


def test_only_ok_passes_and_an_empty_answer_is_not_run(tmp_path):
    statuses = ["ok", "timeout", "invalid"]
    task = code_task(tmp_path, "deepcoder", deepcoder_rows()[:1], runner=lambda code, tests: statuses, max_tests=4)
    row = task.dataset("train", 1, 3)[0]
    assert task.score("print(1)", row) == (1, 0, 0, None)
    assert task.score("```python\n```", row) == (0, 0, 0, None)


def test_the_reward_function_runs_equal_answers_once(tmp_path):
    seen: list[str] = []

    def run(code: str, tests: Any) -> list[str]:
        seen.append(code)
        return ["ok"] * len(tests)

    task = code_task(tmp_path, "deepcoder", deepcoder_rows()[:1], runner=run, max_tests=4)
    row = task.dataset("train", 1, 3)[0]
    (reward,) = task.reward_funcs
    answers = [[{"role": "assistant", "content": text}] for text in ("print(1)", "print(2)", "print(1)")]
    assert reward([row["prompt"]] * 3, answers, tests=[row["tests"]] * 3, solution=[""] * 3) == [(1, 1, 1, None)] * 3
    assert sorted(seen) == ["print(1)", "print(2)"]
    assert reward.components == task.components == ("test_1", "test_2", "test_3", "test_4")


# --- programs in answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("So:\n```python\nx = 1\n```\nDone. ```python\ny\n```", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("```py\nx = 1\n```", "x = 1"),
        ("```Python3 \nx = 1\n```", "x = 1"),
        ("```x = 1```", "x = 1"),
        ("```x = 1\ny = 2```", "x = 1\ny = 2"),
        ("```js\nx = 1\n```", "x = 1"),
        ("```\nbash\n```\n```python\nx = 1\n```", "x = 1"),
        ("```python\nx = 1", "x = 1"),  # cut off
        ("  x = 1\n", "x = 1"),
        ("", ""),
    ],
)
def test_the_program_is_the_first_python_block_else_any_block_else_all(answer, program):
    assert extract_program(answer) == program


def test_programs_that_differ_in_layout_and_comments_share_a_label():
    assert program_label("x=1 # one") == program_label("x  =  1\n")
    assert program_label("x = 1") != program_label("y = 1")
    assert program_label("no python at all") == program_label("No   PYTHON at all")
    task = get_task("code")
    assert task.label("```python\nx=1\n```", {}) == task.label("x = 1", {})


@pytest.mark.parametrize(
    "program", ["\x00", "\ud800", "(" * 50_000, "-" * 60_000 + "1", "1+" * 30_000 + "1", "a" * 2_000_000, "'\\d' is 1"]
)
def test_a_label_can_be_had_of_any_text(program):
    assert len(program_label(program)) == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "apps"}, "source is 'apps'"),
        ({"max_tests": 0}, "max_tests is 0"),
        ({"speed": 1}, "has not these options"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        get_task("code", **options)
