"""Tests of a program: what goes in, what must come out; and the seam to whatever runs them.

Three kinds, by what the data has:

* ``stdin``: the program reads ``input`` and must print one of ``expected``, white space at line ends and at the end
  aside.
* ``call``: ``function`` (of the module, or a method of a class ``Solution``) is called with ``input``, the Python
  literal of the tuple of its arguments, and must return one of ``expected``, Python literals; a tuple is equal to a
  list.
* ``script``: ``input`` is Python to execute after the program; it passes if it raises nothing. For assertions that are
  no plain call. What they expect is in it, so a program that looks for it can cheat; the other kinds do not have that
  hole.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

Kind = Literal["stdin", "call", "script"]
PASSED = "ok"


@dataclass(frozen=True)
class CodeTest:
    """One test.

    Attributes:
        kind: What the other fields mean; see the module.
        input: Text of standard input, arguments, or a script.
        expected: Outputs of which one is wanted; empty for a script.
        function: Name of the function of a call.
    """

    kind: Kind
    input: str
    expected: tuple[str, ...] = ()
    function: str = ""

    @property
    def num_bytes(self) -> int:
        """Size of input and output."""
        return len(self.input.encode()) + max((len(each.encode()) for each in self.expected), default=0)


class Runner(Protocol):
    """Whatever runs programs: a sandbox. A function ``run(code, tests)`` will do as well."""

    def run(self, code: str, tests: Sequence[CodeTest]) -> Sequence[str]:
        """Run a program on each test by itself.

        Args:
            code: Any text; most often Python.
            tests: At least one.

        Returns:
            A status for each test: "ok" if it ran and did what is expected, which the runner compares outside of the
            process that ran it; "infra" if the machinery failed, not the program; anything else (such as "invalid",
            "error", "timeout", "oom") if the program failed.
        """
        ...


def call_test(function: str, arguments: Sequence[Any], *expected: Any) -> CodeTest:
    """A test of a call, from values that JSON or Python literals have."""
    return CodeTest("call", repr(tuple(arguments)), tuple(map(repr, expected)), function)


def assertion_test(statement: ast.stmt, function: str, called: str, prelude: str = "") -> CodeTest:
    """A test from an ``assert`` statement: a call where it says ``function(literals) == literal``, else a script.

    Args:
        statement: The assertion.
        function: The name under which the program defines the function.
        called: The name under which the assertion calls it.
        prelude: What a script needs before the assertion: imports, helpers.
    """
    test = statement.test if isinstance(statement, ast.Assert) else None
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        for call, value in ((test.left, test.comparators[0]), (test.comparators[0], test.left)):
            is_call = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == called
            if is_call and not call.keywords:  # type: ignore[attr-defined]
                try:
                    arguments = [ast.literal_eval(argument) for argument in call.args]  # type: ignore[attr-defined]
                    return call_test(function, arguments, ast.literal_eval(value))
                except (ValueError, TypeError):  # not a literal, or {[]}
                    break
    named = [] if called == function else [f"{called} = {function}"]
    return CodeTest("script", "\n".join([*filter(None, [prelude]), *named, ast.unparse(statement)]))


def keep_small(tests: Sequence[CodeTest], most: int, most_bytes: int) -> list[CodeTest]:
    """The ``most`` smallest of the tests of at most ``most_bytes``, in their own order."""
    small = [i for i, test in enumerate(tests) if test.num_bytes <= most_bytes]
    kept = sorted(small, key=lambda i: tests[i].num_bytes)[:most]
    return [tests[i] for i in sorted(kept)]


def write_tests(tests: Sequence[CodeTest]) -> str:
    """JSON, the form in which tests travel in a dataset row."""
    return json.dumps([asdict(test) for test in tests])


def read_tests(text: str) -> list[CodeTest]:
    """Inverse of `write_tests`."""
    return [CodeTest(**{**each, "expected": tuple(each["expected"])}) for each in json.loads(text)]


def as_run(runner: Runner | Callable[..., Any]) -> Callable[[str, Sequence[CodeTest]], Sequence[str]]:
    """The function of a runner.

    Raises:
        TypeError: It has no method ``run`` and cannot be called.
    """
    run = getattr(runner, "run", runner)
    if not callable(run):
        raise TypeError(
            f"{runner!r} was given as a runner: expected a function run(code, tests), or an object with it."
        )
    return run
