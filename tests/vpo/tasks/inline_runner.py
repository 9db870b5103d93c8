"""Runs programs of the tests' own making in this process: a stand-in for a sandbox, for code that is trusted."""

from __future__ import annotations

import ast
import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any

from vpo.tasks.code import CodeTest


def run(code: str, tests: Sequence[CodeTest]) -> list[str]:
    return [_status(code, test) for test in tests]


def _status(code: str, test: CodeTest) -> str:
    names: dict[str, Any] = {"__name__": "__main__"}
    out, old = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(test.input if test.kind == "stdin" else "")
    try:
        with contextlib.redirect_stdout(out):
            exec(code, names)
            if test.kind == "script":
                exec(test.input, names)
                return "ok"
            if test.kind == "call":
                function = names.get(test.function) or getattr(names["Solution"](), test.function)
                result = _listed(function(*ast.literal_eval(test.input)))
                return "ok" if result in [_listed(ast.literal_eval(each)) for each in test.expected] else "invalid"
    except Exception:
        return "error"
    finally:
        sys.stdin = old
    lines = [line.rstrip() for line in out.getvalue().rstrip().split("\n")]
    return "ok" if "\n".join(lines) in [each.rstrip() for each in test.expected] else "invalid"


def _listed(value: Any) -> Any:
    return [_listed(each) for each in value] if isinstance(value, (list, tuple)) else value
