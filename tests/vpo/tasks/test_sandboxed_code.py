"""Tests of coding problems in the real sandbox: what passes, what fails, and what a program cannot do to pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vpo.tasks import inline_runner
from vpo.sandbox import Limits, NotEnforced, Sandbox
from vpo.tasks import get_task
from vpo.tasks.code.cases import CodeTest, call_test
from vpo.tasks.code.sandboxed import run_in

ADD = [call_test("add", [1, 2], 3), call_test("add", ["a", "b"], "ab"), call_test("add", [[1], [2]], [1, 2])]
ECHO = [CodeTest("stdin", "3\n", ("6\n",)), CodeTest("stdin", "5\n", ("10", "11"))]


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    try:
        sandbox = Sandbox(1, Limits(seconds=1.0))
    except NotEnforced as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def add(a, b):\n    return a + b", ADD),
        ("def add(a, b):\n    return a", ADD),
        ("class Solution:\n    def add(self, a, b):\n        return a + b", ADD),
        ("def add(a, b):\n    return (a + b)", [call_test("add", [(1,), (2,)], (1, 2))]),  # tuples: as a script
        ("def f(x):\n    return {x: 1}", [call_test("f", [2], {2: 1}), call_test("f", ["a"], {"a": 1})]),
        ("def f():\n    return 1, 2", [call_test("f", [], (1, 2), [3])]),
        ("print(2 * int(input()))", ECHO),
        ("if __name__ == '__main__':\n    print(2 * int(input()), '')", ECHO),
        ("x = 1", [CodeTest("script", "assert x == 1"), CodeTest("script", "assert x == 2")]),
        ("raise ValueError", [*ADD, *ECHO]),
        ("def add(:", ADD),
        ("", ADD),
    ],
)
def test_it_passes_what_a_plain_run_of_trusted_code_passes(code, tests, box):
    got = [status == "ok" for status in run_in(box, code, tests)]
    assert got == [status == "ok" for status in inline_runner.run(code, tests)]


def test_one_hanging_test_does_not_take_the_others_with_it(box):
    code = "def f(x):\n    while x == 1:\n        pass\n    return x"
    assert run_in(box, code, [call_test("f", [x], x) for x in (0, 1, 2)]) == ["ok", "timeout", "ok"]


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "class Any:\n    def __eq__(self, other):\n        return True\ndef f():\n    return Any()\nx = Any()",
        "import builtins\nbuiltins.print = lambda *a, **k: None\ndef f():\n    return 0",
    ],
)
def test_leaving_early_and_lying_objects_do_not_pass(code, box):
    tests = [call_test("f", [], 7), CodeTest("stdin", "", ("7",)), call_test("f", [], {7})]
    assert "ok" not in run_in(box, code, tests)


def test_the_code_task_rewards_each_test_that_passes(box, tmp_path):
    task = get_task("code", path=str(tmp_path), runner=lambda code, tests: run_in(box, code, tests), max_tests=4)
    from vpo.tasks.code.cases import write_tests

    row = {"tests": write_tests(ADD)}
    assert task.score("```python\ndef add(a, b):\n    return a + b\n```", row) == (1.0, 1.0, 1.0, None)
    assert task.score("```python\ndef add(a, b):\n    return 3\n```", row) == (1.0, 0.0, 0.0, None)
