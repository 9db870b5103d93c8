"""The value of a small program, by walking its syntax tree: generated code is read here and never run.

What is understood: one function or none around assignments to names, ``return``, a last expression or ``print`` of one,
numbers, names, + - * / and brackets. Anything else has no value: no calls, no attributes, no powers, no strings but a
docstring. Numbers are exact fractions of bounded size and a program has a bounded length, so this always ends at once.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

_MOST_CHARACTERS, _MOST_NODES, _BIGGEST = 4000, 600, 10**12


@dataclass(frozen=True)
class Computed:
    """What a program computes.

    Attributes:
        value: Returned, printed or left as the last expression; None if there is none.
        values: Results of all of its expressions that have an operator, in order.
    """

    value: Fraction | None
    values: tuple[Fraction, ...] = ()


class _NotUnderstoodError(Exception):
    pass


def compute(program: str) -> Computed:
    """What a program computes; no value for one that is not understood, fails, or computes nothing.

    Args:
        program: Any text.
    """
    if len(program) > _MOST_CHARACTERS:
        return Computed(None)
    try:
        with warnings.catch_warnings():  # of what a policy writes, such as '\\d'
            warnings.simplefilter("ignore")
            tree = ast.parse(program.strip())
        if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
            return Computed(None)
        return _run(_body(tree.body))
    except (SyntaxError, ValueError, MemoryError, RecursionError, ArithmeticError, _NotUnderstoodError):
        return Computed(None)


def _body(statements: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of the one function, or all of them where there is none."""
    functions = [each for each in statements if isinstance(each, ast.FunctionDef)]
    if not functions:
        return statements
    function = functions[0]
    # What follows a function may print what it returns; it computes nothing of its own.
    rest = statements[1:]
    if (
        len(functions) > 1
        or statements[0] is not function
        or not all(_is_call_of(each, function.name) for each in rest)
    ):
        _refuse()
    arguments = function.args
    if function.decorator_list or arguments.args or arguments.vararg or arguments.kwonlyargs or arguments.kwarg:
        _refuse()
    return function.body


def _run(statements: list[ast.stmt]) -> Computed:
    names: dict[str, Fraction] = {}
    values: list[Fraction] = []
    last: Fraction | None = None
    for number, statement in enumerate(statements):
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
            if len(statement.targets) != 1 or not isinstance(target, ast.Name):
                _refuse()
            names[target.id] = _value(statement.value, names, values)
            last = None
        elif isinstance(statement, ast.Return) and statement.value is not None:
            return Computed(_value(statement.value, names, values), tuple(values))
        elif isinstance(statement, ast.Expr):
            if number == 0 and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str):
                continue  # a docstring
            last = _value(_printed(statement.value), names, values)
        else:
            _refuse()
    return Computed(last, tuple(values))


def _value(expression: ast.expr, names: dict[str, Fraction], values: list[Fraction]) -> Fraction:
    """Value of an expression; noted among ``values`` if it has an operator, once for the whole of it."""
    found = _evaluate(expression, names)
    if any(isinstance(node, ast.BinOp) for node in ast.walk(expression)):
        values.append(found)
    return found


def _evaluate(node: ast.expr, names: dict[str, Fraction]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        found = Fraction(str(node.value))  # of a float: as it is written
    elif isinstance(node, ast.Name):
        found = names[node.id] if node.id in names else _refuse()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _evaluate(node.operand, names)
        found = -inner if isinstance(node.op, ast.USub) else inner
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
        left, right = _evaluate(node.left, names), _evaluate(node.right, names)
        if isinstance(node.op, ast.Add):
            found = left + right
        elif isinstance(node.op, ast.Sub):
            found = left - right
        else:
            found = left * right if isinstance(node.op, ast.Mult) else left / right
    else:
        found = _refuse()
    return found if max(abs(found.numerator), found.denominator) <= _BIGGEST else _refuse()


def _printed(expression: ast.expr) -> ast.expr:
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and expression.func.id == "print":
        return expression.args[0] if len(expression.args) == 1 and not expression.keywords else expression
    return expression


def _is_call_of(statement: ast.stmt, name: str) -> bool:
    if not isinstance(statement, ast.Expr):
        return False
    call = _printed(statement.value)
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name and not call.args


def _refuse() -> NoReturn:
    raise _NotUnderstoodError
