"""Whether an answer is the expected one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpo.sandbox import CallTest, Sandbox, StdinTest, run_tests, run_tests_async
from vpo.sandbox.coding_tests import same_output, same_value

CODE = """
def double(x): return [2 * x, (x, str(x))]
class Solution:
    def fail(self, x): return 10 // x
if __name__ == "__main__":
    n = int(input())
    print("  %d %.3f  " % (n, n / 2))
    print("end")
"""
TESTS = [
    StdinTest("4\n", "4 2.0\nend"),
    CallTest("double", [3], [6, (3, "3")]),
    StdinTest("4\n", "4 2.1\nend\n"),
    CallTest("Solution.fail", [0], 1),
    CallTest("Solution.fail", [5], 2),
    StdinTest("x\n", "4 2\nend"),
    CallTest("double", [3], [6, [3, 3]]),
]
STATUSES = ["pass", "pass", "wrong", "error", "pass", "error", "wrong"]


def test_outcomes_stand_in_the_order_of_the_tests(box: Sandbox) -> None:
    outcomes = run_tests(CODE, TESTS, box)
    assert [outcome.status for outcome in outcomes] == STATUSES
    assert [outcome.passed for outcome in outcomes] == [status == "pass" for status in STATUSES]


def test_awaiting_gives_what_waiting_does(box: Sandbox) -> None:
    async def many() -> list[list[str]]:
        found = await asyncio.gather(*(run_tests_async(CODE, TESTS, box) for _ in range(3)))
        return [[outcome.status for outcome in outcomes] for outcomes in found]

    assert asyncio.run(many()) == [STATUSES] * 3


def test_no_tests_have_no_outcomes(box: Sandbox) -> None:
    assert run_tests(CODE, [], box) == []


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("  1 2 \n 3", "1 2\n3\n\n", True),
        ("1.0 2", "1 2.00", True),
        ("1e2", "100", True),
        ("1  2", "1 2", True),  # numbers, so the space between them does not matter
        ("a  b", "a b", False),  # words: it does, as it does for LiveCodeBench
        ("1 a", "1.0 a", False),
        ("1\n2", "1 2", False),
        ("1", "1\n1", False),
        ("", "1", False),
        ("", "", True),
        ("nan", "NaN", False),
        ("sNaN", "1", False),
        ("Infinity", "inf", False),
        ("0.1", "0.10000000000000001", False),
        ("YES", "yes", False),
        ("1_000", "1000", True),
        ("9" * 5000 + "0", "9" * 5000 + "0.0", True),
    ],
)
def test_output_is_compared_line_by_line_and_number_by_number(printed: str, expected: str, same: bool) -> None:
    assert same_output(printed, expected) == same


@given(lines=st.lists(st.lists(st.integers() | st.text("abc", min_size=1), min_size=1, max_size=3), min_size=1))
def test_output_equals_itself_whatever_the_space_around_its_lines(lines: list[list[Any]]) -> None:
    text = "\n".join(" ".join(map(str, line)) for line in lines)
    assert same_output(text, text)
    assert same_output("\n" + text.replace("\n", "  \n  ") + " \n\n", text)


@given(a=st.text(), b=st.text())
def test_comparing_output_never_fails_and_has_no_direction(a: str, b: str) -> None:
    assert same_output(a, b) == same_output(b, a)


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        ([1, [2]], (1, (2,)), True),
        ([1, 2], [1], False),
        ([], [], True),
        ({"1": [2]}, {1: (2,)}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        (1.0, 1, True),
        ("1", 1, False),
        (None, None, True),
        (None, 0, False),
        ([1], 1, False),
        (1, [1], False),
        ("ab", ["a", "b"], False),
        ([], {}, False),
    ],
)
def test_values_are_compared_as_json(value: Any, expected: Any, same: bool) -> None:
    assert same_value(value, expected) is same
