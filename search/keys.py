"""When are two answers the same program? A key for ``Problem.canonical``.

Language models repeat themselves with other comments, other spaces and other quotes; about 30% of the lines that
evolutionary coding agents add were there before (arXiv 2605.20086). Such a repetition is answered from the cache.
"""

from __future__ import annotations

import ast
import warnings

_HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def python_ast_key(answer: str) -> str:
    """Normal form of a Python program: no comments, no docstrings, one way of spacing and quoting.

    Names are left as they are, so a renamed variable makes another program. A program that reads its own docstrings is
    taken for one without them. What cannot be parsed is its own key.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a program of a model is none of the user's business
            tree = ast.parse(answer)
            for node in ast.walk(tree):
                if isinstance(node, _HAS_DOCSTRING) and _is_docstring(node.body[:1]):
                    node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
            return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return answer


def _is_docstring(first: list[ast.stmt]) -> bool:
    return bool(
        first
        and isinstance(first[0], ast.Expr)
        and isinstance(first[0].value, ast.Constant)
        and isinstance(first[0].value.value, str)
    )
