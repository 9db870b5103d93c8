"""Rows of code data sets as problems: the text, the code to start from, the tests, a solution where the data has one.

Columns are those of the data as it is published: ``agentica-org/DeepCoder-Preview-Dataset``,
``livecodebench/code_generation_lite``, ``openai/openai_humaneval``, ``google-research-datasets/mbpp`` (full or
sanitized).
"""

from __future__ import annotations

import ast
import base64
import io
import json
import pickle
import zlib
from dataclasses import dataclass
from typing import Any

from vpo.tasks.code.cases import CodeTest, assertion_test, call_test
from vpo.tasks.rows import RowReader


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        text: What is asked for.
        tests: At least one.
        starter: Code that the solution has to fit, or nothing.
        solution: A program that passes, or nothing.
    """

    text: str
    tests: list[CodeTest]
    starter: str = ""
    solution: str = ""


def deepcoder(row: RowReader) -> Problem:
    """Of DeepCoder's subsets, in which ``tests`` is JSON: records, or lists ``inputs`` and ``outputs``."""
    tests = row.json("tests")
    if isinstance(tests, dict):  # taco
        inputs, outputs = tests.get("inputs"), tests.get("outputs")
        if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
            raise row.bad("tests", "has no inputs and outputs of one length", "two lists of one length")
        name = tests.get("fn_name")
        tests = [{"input": i, "output": o, "fn_name": name} for i, o in zip(inputs, outputs, strict=True)]
    found = _pairs(row, "tests", tests)
    solutions = row.values.get("solutions")
    solution = solutions[0] if isinstance(solutions, list) and solutions and isinstance(solutions[0], str) else ""
    return Problem(row.text("problem"), found, _optional(row, "starter_code"), solution)


def livecodebench(row: RowReader) -> Problem:
    """Of LiveCodeBench: its private tests, which are packed, else the public ones."""
    name = _name_in(row.json("metadata")) if row.values.get("metadata") else None
    column = "private_test_cases" if row.values.get("private_test_cases") else "public_test_cases"
    tests = _unpack(row, column)
    return Problem(row.text("question_content"), _pairs(row, column, tests, name), _optional(row, "starter_code"))


def humaneval(row: RowReader) -> Problem:
    """Of HumanEval: each assertion of ``check`` a test, or the whole of it where it holds more than assertions."""
    prompt, name = row.text("prompt"), row.text("entry_point")
    module = _parse(row, "test")
    checks = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(checks) != 1:
        raise row.bad("test", f"defines check {len(checks)} times", "one function check(candidate)")
    given = ast.parse(f"{prompt}\n    pass").body  # helpers and imports that the assertions may use
    helpers = [node for node in given if not (isinstance(node, ast.FunctionDef) and node.name == name)]
    rest = [node for node in module.body if node is not checks[0]]
    prelude = "\n".join(map(ast.unparse, [*helpers, *rest]))
    called = checks[0].args.args[0].arg
    body = [node for node in checks[0].body if not _says_nothing(node)]
    if body and all(isinstance(node, ast.Assert) for node in body):
        tests = [assertion_test(node, name, called, prelude) for node in body]
    else:
        tests = [CodeTest("script", f"{prelude}\n{ast.unparse(checks[0])}\ncheck({name})")]
    return Problem("", tests, prompt, prompt + _optional(row, "canonical_solution"))


def mbpp(row: RowReader) -> Problem:
    """Of MBPP: each assertion of ``test_list`` a test, the first of which the problem's text shows."""
    assertions = row.texts("test_list", at_least=1)
    imports = row.texts("test_imports") if "test_imports" in row.values else []
    prelude = "\n".join([*imports, _optional(row, "test_setup_code")]).strip()
    code = _parse(row, "code")
    defined = [node.name for node in code.body if isinstance(node, ast.FunctionDef)]
    tests = []
    for i, source in enumerate(assertions):
        try:
            (statement,) = ast.parse(source.strip()).body
        except (SyntaxError, ValueError):
            raise row.bad(f"test_list[{i}]", "is no single Python statement", "an assert statement") from None
        called = [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and n.id in defined]
        name = called[0] if called else defined[-1] if defined else ""
        tests.append(assertion_test(statement, name, name, prelude))
    text = row.text("prompt" if "prompt" in row.values else "text")
    return Problem(f"{text}\n\nFor instance, this must hold:\n{assertions[0]}", tests, "", row.text("code"))


def _pairs(row: RowReader, column: str, tests: Any, function: str | None = None) -> list[CodeTest]:
    if not isinstance(tests, list) or not tests:
        raise row.bad(column, "has no tests", "a list of one or more")
    return [_pair(row, f"{column}[{i}]", test, function) for i, test in enumerate(tests)]


def _pair(row: RowReader, column: str, test: Any, function: str | None) -> CodeTest:
    if not isinstance(test, dict) or "input" not in test or "output" not in test:
        raise row.bad(column, "has no input or no output", "both")
    given, wanted = test["input"], test["output"]
    own = test.get("fn_name") or _name_in(test.get("metadata")) or function
    is_call = test.get("testtype") == "functional" or test.get("type") == "function_call" or bool(test.get("fn_name"))
    if not is_call:
        return CodeTest("stdin", _lines(row, column, given), (_lines(row, column, wanted),))
    if not isinstance(own, str) or not own.isidentifier():
        raise row.bad(column, "is the test of a function without a name", "fn_name, or func_name in metadata")
    if isinstance(given, list):  # TACO and PrimeIntellect; the result stands in a list of one, or by itself
        alone = [wanted[0]] if isinstance(wanted, list) and len(wanted) == 1 else []
        return call_test(own, given, wanted, *alone)
    try:  # LiveCodeBench: a JSON value a line
        return call_test(own, [json.loads(line) for line in given.split("\n") if line.strip()], json.loads(wanted))
    except (ValueError, AttributeError, TypeError):
        raise row.bad(column, "has arguments or a result that are no JSON", "a JSON value a line") from None


def _name_in(metadata: Any) -> Any:
    return metadata.get("func_name") if isinstance(metadata, dict) else None


def _lines(row: RowReader, column: str, value: Any) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise row.bad(column, "has an input or output that is no text", "text, or a list of lines")
    return value


def _unpack(row: RowReader, column: str) -> Any:
    """Tests as JSON, or as LiveCodeBench packs them: JSON, pickled as text, compressed, in base 64."""
    text = row.text(column)
    if text.lstrip()[:1] in "[{":
        return row.json(column)
    try:
        packed = zlib.decompress(base64.b64decode(text, validate=True))
        return json.loads(_TextOnly(io.BytesIO(packed)).load())
    except (ValueError, TypeError, zlib.error, pickle.UnpicklingError, EOFError) as error:
        raise row.bad(
            column, f"cannot be unpacked ({error})", "JSON, or JSON pickled, compressed, in base 64"
        ) from None


class _TextOnly(pickle.Unpickler):
    """Reads plain values; a pickle that wants to import anything is refused, since it could run anything."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it would import {module}.{name}")


def _parse(row: RowReader, column: str) -> ast.Module:
    try:
        return ast.parse(row.text(column))
    except (SyntaxError, ValueError) as error:
        raise row.bad(column, f"is no Python ({error})", "Python") from None


def _says_nothing(node: ast.stmt) -> bool:
    """Whether a statement of HumanEval's ``check`` is a docstring, ``pass`` or ``assert True``."""
    value = node.test if isinstance(node, ast.Assert) else node.value if isinstance(node, ast.Expr) else None
    return isinstance(node, ast.Pass) or isinstance(value, ast.Constant)


def _optional(row: RowReader, column: str) -> str:
    return row.text(column, may_be_empty=True) if row.values.get(column) is not None else ""
