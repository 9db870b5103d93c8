import ast

import pytest

from search.keys import python_ast_key

PROGRAM = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "same",
    [
        "def f(x): return x + 1",
        "# a comment\ndef f(x):\n\n    return (x+1)  # more\n",
        'def f(x):\n    """Adds one."""\n    return x + 1',
        '"""A module."""\ndef f(x):\n    return x + 1',
    ],
)
def test_comments_docstrings_and_layout_do_not_make_another_program(same):
    assert python_ast_key(same) == python_ast_key(PROGRAM)


@pytest.mark.parametrize("other", ["def f(y): return y + 1", "def f(x): return 1 + x", "def f(x): return x + 1\nf(2)"])
def test_names_order_and_statements_make_another_program(other):
    assert python_ast_key(other) != python_ast_key(PROGRAM)


def test_key_is_a_program_and_its_own_key():
    key = python_ast_key('class A:\n    """Nothing."""\n\n    async def f(self):\n        "nothing"\n')
    ast.parse(key)
    assert key == "class A:\n\n    async def f(self):\n        pass"
    assert python_ast_key(key) == key


def test_quotes_do_not_matter_and_strings_that_are_no_docstrings_do():
    assert python_ast_key("a = 'b'") == python_ast_key('a = "b"')
    assert python_ast_key("x = 1\n'text'") != python_ast_key("x = 1")


@pytest.mark.parametrize("text", ["def f(:", "no program at all", "\0", "(" * 5000])
def test_what_is_no_program_is_its_own_key(text):
    assert python_ast_key(text) == text


def test_odd_escapes_of_a_program_are_not_warned_of():
    assert python_ast_key("x = '\\d'  # digits") == "x = '\\\\d'"
