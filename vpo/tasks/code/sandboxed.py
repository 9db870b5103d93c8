"""The runner of recipes: tests of coding problems in :mod:`vpo.sandbox`, as ``vpo.tasks.code.sandboxed.run``.

Expected outputs stay here: a program gets a test's input, and what it gives back is compared in this process, as JSON
or, where arguments or results are no JSON values (tuples, sets, keys that are no text), as the literal that it prints.
Only a test that is a script holds what it expects; see :mod:`vpo.tasks.code.cases`.
"""

from __future__ import annotations

import ast
import atexit
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import Any

from vpo.sandbox import Job, Limits, Result, Sandbox
from vpo.sandbox.coding_tests import same_output, same_value
from vpo.sandbox.job_pool import JobPool
from vpo.tasks.code.cases import PASSED, CodeTest

LIMITS = Limits(seconds=6.0)  # a test, as LiveCodeBench's checker gives it
_TOKEN = secrets.token_hex(8)


def run(code: str, tests: Sequence[CodeTest]) -> list[str]:
    """Run a program on each test by itself; see `vpo.tasks.code.cases.Runner`.

    Raises:
        NotEnforced: This host cannot confine code; ``vpo doctor`` says what is missing.
    """
    return run_in(_box(os.getpid()), code, tests)


def run_in(box: JobPool, code: str, tests: Sequence[CodeTest]) -> list[str]:
    """As `run`, in a sandbox of one's own, on this machine or on several."""
    statuses = [""] * len(tests)
    waiting: list[tuple[list[int], Future[tuple[Result, ...]]]] = []
    for (source, entry), places in _jobs(code, tests).items():
        cases = [_arguments(tests[i]) if entry else _stdin(tests[i]) for i in places]
        waiting.append((places, box.submit(Job(source, cases, entry))))
    for places, future in waiting:
        for place, result in zip(places, future.result(), strict=True):
            statuses[place] = _judge(tests[place], result, _end(place))
    return statuses


@lru_cache(maxsize=1)
def _box(process: int) -> Sandbox:
    """The sandbox of this process, started when it is first needed."""
    box = Sandbox(max(1, (os.cpu_count() or 2) // 2), LIMITS)
    atexit.register(box.close)
    return box


def _jobs(code: str, tests: Sequence[CodeTest]) -> dict[tuple[str, str | None], list[int]]:
    """(source, entry) -> places of the tests that one job serves."""
    jobs: dict[tuple[str, str | None], list[int]] = {}
    for place, test in enumerate(tests):
        if test.kind == "call" and _is_plain(test):
            key: tuple[str, str | None] = (code, _entry(code, test.function))
        elif test.kind == "stdin":
            key = (code, None)
        else:
            last = repr(_end(place)) if test.kind == "script" else f"{_end(place)!r} + repr({_call(code, test)})"
            script = test.input if test.kind == "script" else ""
            key = (f"{code}\n\n{script}\nprint({last})", None)
        jobs.setdefault(key, []).append(place)
    return jobs


def _end(place: int) -> str:
    """What a script prints last: a program that leaves early has not passed."""
    return f"{_TOKEN}-{place}"


def _stdin(test: CodeTest) -> str:
    return test.input if test.kind == "stdin" else ""


def _arguments(test: CodeTest) -> list[Any]:
    return list(ast.literal_eval(test.input))


def _is_plain(test: CodeTest) -> bool:
    """Whether arguments and results survive JSON unchanged."""
    results = map(ast.literal_eval, test.expected)
    return all(map(_is_json, _arguments(test))) and all(_is_json(each, tuples=True) for each in results)


def _is_json(value: Any, tuples: bool = False) -> bool:
    if isinstance(value, list) or (tuples and isinstance(value, tuple)):
        return all(_is_json(each, tuples) for each in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(each, tuples) for key, each in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def _entry(code: str, function: str) -> str:
    """``Solution.f`` where the program has such a method, else ``f``."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return function
    methods = {
        each.name
        for node in body
        if isinstance(node, ast.ClassDef) and node.name == "Solution"
        for each in node.body
        if isinstance(each, ast.FunctionDef)
    }
    return f"Solution.{function}" if function in methods else function


def _call(code: str, test: CodeTest) -> str:
    return f"{_entry(code, test.function).replace('Solution.', 'Solution().')}(*{test.input})"


def _judge(test: CodeTest, result: Result, end: str) -> str:
    if result.status != "ok":
        return result.status
    if test.kind == "stdin":
        right = any(same_output(result.stdout, each) for each in test.expected)
    elif test.kind == "call" and _is_plain(test):
        right = any(same_value(result.value, ast.literal_eval(each)) for each in test.expected)
    elif test.kind == "call":
        right = _printed(result.stdout, end, test.expected)
    else:
        right = result.stdout.rstrip().endswith(end)
    return PASSED if right else "wrong"


def _printed(stdout: str, end: str, expected: Sequence[str]) -> bool:
    """Whether the last line is one of the expected literals."""
    _, found, text = stdout.rstrip().rpartition(end)
    try:
        value = _listed(ast.literal_eval(text)) if found else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # no literal
    return bool(found) and any(value == _listed(ast.literal_eval(each)) for each in expected)


def _listed(value: Any) -> Any:
    """Tuples as lists."""
    return [_listed(each) for each in value] if isinstance(value, (list, tuple)) else value
