"""Tests of coding tasks: what a candidate gives for each, and whether that is what was expected.

Only the input of a test goes into the sandbox. Answers are compared here, on plain data, so that nothing the code
defines or patches has a part in it. Comparison follows LiveCodeBench's checker
(lcb_runner/evaluation/testing_util.py): standard output line by line without surrounding space, and where lines
differ by their decimal numbers; results of functions for equality, with tuples as lists. Left out: its timeout for
all tests together, see ``Limits(job_seconds=...)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from vpo.sandbox.job import Job, Result, Status
from vpo.sandbox.job_pool import JobPool


@dataclass(frozen=True)
class StdinTest:
    """A program reads ``stdin`` and should print ``stdout``."""

    stdin: str
    stdout: str


@dataclass(frozen=True)
class CallTest:
    """``entry`` is called with ``args`` and should return ``expected``, a JSON value; names as in :class:`Job`."""

    entry: str
    args: Sequence[Any]
    expected: Any


Test = StdinTest | CallTest


@dataclass(frozen=True)
class TestOutcome:
    """How a candidate did on one test.

    Args:
        status: ``pass``, ``wrong``, or the sandbox's status of a case that gave no answer. ``infra`` says nothing about
            the candidate: try again, or leave the test out.
        result: What the sandbox said.
    """

    __test__ = False  # pytest: this is no test of ours

    status: Literal["pass", "wrong"] | Status
    result: Result

    @property
    def passed(self) -> bool:
        """Whether the answer was right."""
        return self.status == "pass"


def run_tests(code: str, tests: Sequence[Test], box: JobPool) -> list[TestOutcome]:
    """Run a candidate on tests.

    Args:
        code: Python source.
        tests: Programs' and functions' may be mixed.
        box: Where to run it.

    Returns:
        One outcome a test, in order; ``[outcome.passed for ...]`` is the candidate's vector.
    """
    return _outcomes(tests, [future.result() for future in _submit(code, tests, box)])


async def run_tests_async(code: str, tests: Sequence[Test], box: JobPool) -> list[TestOutcome]:
    """Run a candidate on tests, and await it; as :func:`run_tests`."""
    return _outcomes(tests, await asyncio.gather(*map(asyncio.wrap_future, _submit(code, tests, box))))


def _by_entry(tests: Sequence[Test]) -> dict[str | None, list[int]]:
    """Positions of the tests that one job can serve."""
    groups: dict[str | None, list[int]] = {}
    for position, test in enumerate(tests):
        groups.setdefault(test.entry if isinstance(test, CallTest) else None, []).append(position)
    return groups


def _submit(code: str, tests: Sequence[Test], box: JobPool) -> list[Future[tuple[Result, ...]]]:
    cases = [test.args if isinstance(test, CallTest) else test.stdin for test in tests]
    groups = _by_entry(tests)
    return [box.submit(Job(code, [cases[each] for each in places], entry)) for entry, places in groups.items()]


def _outcomes(tests: Sequence[Test], results: Sequence[Sequence[Result]]) -> list[TestOutcome]:
    found: dict[int, TestOutcome] = {}
    for places, group in zip(_by_entry(tests).values(), results, strict=True):
        for place, result in zip(places, group, strict=True):
            found[place] = _judge(tests[place], result)
    return [found[place] for place in range(len(tests))]


def _judge(test: Test, result: Result) -> TestOutcome:
    if result.status != "ok":
        return TestOutcome(result.status, result)
    if isinstance(test, CallTest):
        right = same_value(result.value, test.expected)
    else:
        right = same_output(result.stdout, test.stdout)
    return TestOutcome("pass" if right else "wrong", result)


def same_value(value: Any, expected: Any) -> bool:
    """Whether a function's result is the expected one: equal as JSON values, tuples being lists."""
    if isinstance(expected, (list, tuple)):
        return isinstance(value, list) and len(value) == len(expected) and all(map(same_value, value, expected))
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == {str(key) for key in expected}
            and all(same_value(value[str(key)], each) for key, each in expected.items())
        )
    return bool(value == expected)


def same_output(printed: str, expected: str) -> bool:
    """Whether a program printed what was expected, line by line and number by number."""
    lines, wanted = ([line.strip() for line in text.strip().split("\n")] for text in (printed, expected))
    return len(lines) == len(wanted) and all(map(_same_line, lines, wanted))


def _same_line(line: str, wanted: str) -> bool:
    if line == wanted:
        return True
    words, others = line.split(), wanted.split()
    if len(words) != len(others):
        return False
    numbers = [(_number(word), _number(other)) for word, other in zip(words, others, strict=True)]
    return all(number is not None and number == other for number, other in numbers)


def _number(word: str) -> Decimal | None:
    try:
        number = Decimal(word)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
