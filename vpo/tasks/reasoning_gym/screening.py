"""What may be handed to a scorer of reasoning-gym: some of them run an answer as Python.

A policy writes answers, and generated code never runs in our process. In version 0.1.25 four scorers call ``eval`` on
an answer and five sympy's ``parse_expr``, which calls it. Those are handed only answers that are plain literals, or
formulas of known shape and bounded size; anything else is judged as no answer would be, which loses nothing but what
no prompt asks for (``2**3`` for Countdown, ``"".join(...)`` for a matrix). A generator whose module evaluates text and
is not known here is refused, so that another version of the package cannot open the door again.
"""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

_EVALUATES = re.compile(r"\b(?:eval|exec|parse_expr|sympify)\(")
# They evaluate the problem that they brought themselves, or have a parser of that name.
_OWN_TEXT = frozenset({"basic_arithmetic", "bitwise_arithmetic", "codeio", "number_sorting", "propositional_logic"})
_WORDS = re.compile(r"[\w\s]*")  # names alone call nothing: evaluating them is a lookup or a syntax error
_MOST_NODES, _MOST_DEGREE, _MOST_EXPONENT, _MOST_CALLS = 250, 48, 24, 2
_BIGGEST = 10**12
_CIRCULAR = ("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh")
_INVERSE = ("asin", "acos", "atan", "asinh", "acosh", "atanh")
_FUNCTIONS = frozenset({*_CIRCULAR, *_INVERSE, "exp", "log", "ln", "sqrt", "Abs", "abs"})


def may_be_scored(generator: str, answer: str) -> bool:
    """Whether the scorer of a generator may see an answer.

    Args:
        generator: Its name.
        answer: Any text, of a length that is bounded already.
    """
    screen = _SCREENS.get(generator)
    return screen is None or screen(answer)


def check_screened(generator: str, dataset: Any) -> None:
    """Refuse a generator that evaluates text, if it is not known how to screen that text.

    Raises:
        ValueError: It is such a one.
    """
    if generator in _SCREENS or generator in _OWN_TEXT:
        return
    try:
        source = inspect.getsource(inspect.getmodule(type(dataset)) or type(dataset))
    except (OSError, TypeError):
        source = "eval(  # what cannot be read cannot be trusted"
    if _EVALUATES.search(source):
        raise ValueError(
            f"reasoning-gym's {generator} evaluates text in this version, perhaps the answers of a policy: expected a "
            "generator that does not, or whose answers are screened. Use reasoning-gym 0.1.25, or another generator."
        )


def is_literal(answer: str) -> bool:
    """Whether a text is words alone, or a Python literal: evaluating it does nothing."""
    if _WORDS.fullmatch(answer):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.literal_eval(answer.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return True


def is_sum(answer: str) -> bool:
    """Whether a text is an expression of whole numbers with + - * / and brackets."""
    tree = _parse(answer)
    return tree is not None and all(
        isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd))
        or (isinstance(node, ast.Constant) and type(node.value) is int and node.value < _BIGGEST)
        for node in ast.walk(tree)
    )


def is_formula(answer: str) -> bool:
    """Whether a text is a formula of names and elementary functions, of bounded size."""
    tree = _parse(answer)
    return tree is not None and _degree(tree, 0) <= _MOST_DEGREE


def _parse(text: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return tree if sum(1 for _ in ast.walk(tree)) <= _MOST_NODES else None


def _degree(node: ast.expr, calls: int) -> float:
    """About the degree that a formula has when it is multiplied out; infinite for what is not allowed."""
    if isinstance(node, ast.Constant):
        return 0 if _size(node) <= _BIGGEST else float("inf")
    if isinstance(node, ast.Name):
        return 1 if len(node.id) <= 2 and node.id.isascii() and node.id[0] != "_" else float("inf")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _degree(node.operand, calls)
    if isinstance(node, ast.BinOp):
        left = _degree(node.left, calls)
        if isinstance(node.op, ast.Pow):
            return max(left, 1) * _exponent(node.right)
        right = _degree(node.right, calls)
        if isinstance(node.op, (ast.Mult, ast.Div)):
            return left + right
        return max(left, right) if isinstance(node.op, (ast.Add, ast.Sub)) else float("inf")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
        return float("inf")
    if calls >= _MOST_CALLS or len(node.args) != 1 or node.keywords:
        return float("inf")
    # Nothing is called within exp: exp(exp(9.0 ** 9)) has more digits than there is memory.
    return max(1, _degree(node.args[0], _MOST_CALLS if node.func.id == "exp" else calls + 1))


def _exponent(node: ast.expr) -> float:
    """Size of an exponent: a number, its negative or a fraction."""
    if isinstance(node, ast.Constant):
        return _size(node) if _size(node) <= _MOST_EXPONENT else float("inf")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _exponent(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return max(_exponent(node.left), _exponent(node.right))
    return float("inf")


def _size(constant: ast.Constant) -> float:
    """Absolute value; infinite for what is no plain number."""
    value = constant.value
    return abs(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("inf")


_SCREENS: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(("binary_matrix", "n_queens", "spiral_matrix", "string_insertion"), is_literal),
    **dict.fromkeys(("countdown", "puzzle24"), is_sum),
    **dict.fromkeys(("intermediate_integration", "polynomial_multiplication", "simple_integration"), is_formula),
}
SLOW = frozenset({"intermediate_integration", "simple_integration"})
"""Generators whose scorers simplify an answer: they need a `Referee`."""
SCREENED: Sequence[str] = tuple(_SCREENS)
"""Generators whose answers are screened."""
