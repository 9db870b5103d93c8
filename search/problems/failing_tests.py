"""What a program of the code task is told about itself: the tests that it fails, without what they expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.problems.search_prompt import clipped
from vpo.tasks.code.cases import read_tests

_MOST_TESTS = 3
_MOST_INPUT = 400


def failing_tests(answer: str, row: Mapping[str, Any], vector: Sequence[float | None]) -> str:
    """Inputs of the first three tests that an answer fails.

    Outputs are not shown: a program could then print them without solving anything. A test that is a script of
    assertions holds what it expects, and is named only.

    Args:
        answer: As scored.
        row: Of the code task, with its ``tests``.
        vector: Its scores; None beyond the row's tests, and where a test was not run.
    """
    tests = read_tests(row["tests"])
    failed = [i for i, reward in enumerate(vector) if reward is not None and reward < 1]
    parts = []
    for i in failed[:_MOST_TESTS]:
        test = tests[i]
        name = f"test_{i + 1} fails"
        if test.kind == "stdin":
            parts.append(f"{name}. Its input:\n{clipped(test.input.rstrip(), _MOST_INPUT)}")
        elif test.kind == "call":
            parts.append(f"{name}: {test.function}(*{clipped(test.input, _MOST_INPUT)})")
        else:
            parts.append(f"{name}.")
    if len(failed) > _MOST_TESTS:
        parts.append(f"{len(failed) - _MOST_TESTS} more tests fail.")
    return "\n".join(parts)
