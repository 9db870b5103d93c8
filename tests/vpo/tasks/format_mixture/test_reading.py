"""What an answer says, read without running it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.tasks.format_mixture.hand import ROW, TASK
from vpo.tasks.format_mixture.arithmetic import compute
from vpo.tasks.format_mixture.reading import read


@pytest.mark.parametrize(
    ("program", "value", "values"),
    [
        ("7", 7, []),
        ("a = 2\na", 2, []),
        ("a = 8 + 4\nb = a / 3\nb", 4, [12, 4]),
        ("print(1 + 2 * 3)", 7, [7]),
        (
            'def solution():\n    """How many?"""\n    # a comment\n    x = 7 / 2\n    return x * 2',
            7,
            [Fraction(7, 2), 7],
        ),
        ("def f():\n    return 0.1 + 0.2\nprint(f())", Fraction(3, 10), [Fraction(3, 10)]),
        ("a = -3\n-a", 3, []),
        ("def solution ( ) : a = 3 + 4 ; return a", 7, [7]),
        ("return 5", 5, []),
        ("a = 1\nreturn a\nb = 1 / 0", 1, []),
    ],
)
def test_a_program_is_computed(program, value, values):
    found = compute(program)
    assert found.value == value
    assert list(found.values) == values


@pytest.mark.parametrize(
    "program",
    [
        "", "a = 3", "a", "1 / 0", "2 ** 3", "7 // 2", "7 % 2", "__import__('os').system('true')", "open('x')", "a.b",
        "[1][0]", "x = y = 1\nx", "a, b = 1, 2\na", "lambda: 1", "'text'", "True", "1j", "exec('1')", "print(1, 2)",
        "for i in range(9):\n    i\n1", "while True:\n    pass", "if 1:\n    1", "import os\n1", "1 == 1", "'\\d'",
        "def f(x):\n    return 1",
        "def f():\n    return 1\ndef g():\n    return 2", "@f\ndef f():\n    return 1", "def f():\n    return f()",
        "1\ndef f():\n    return 1", "a = 3 + ", "((((" * 400, "-" * 3000 + "1", "9" * 5000, "10**9", "[0] * 10",
        "a = 1000000\nb = a * a\nb * a", "\x00", "\ud800", "1 if 1 else 2", "a: int = 3\na", "return", "f'{1}'",
        "def solution(a=open('x')):\n    return 1", "def solution() -> open('x'):\n    return open('x')",
    ],
)  # fmt: skip
def test_what_is_not_plain_arithmetic_has_no_value(program):
    assert compute(program).value is None


def test_no_answer_is_ever_run(tmp_path):
    mark = tmp_path / "mark"
    for body in (f"open({str(mark)!r}, 'w')", f"__import__('pathlib').Path({str(mark)!r}).touch()"):
        for answer in (
            f"def solution():\n    {body}\n    return 3", f"<llm-code>\n{body}\n3\n</llm-code>",
            f"def solution(x={body}):\n    return 3", f"the answer is {body}",
        ):  # fmt: skip
            TASK.score(answer, ROW)
            assert not mark.exists()


@given(st.recursive(st.integers(0, 30), lambda e: st.tuples(e, st.sampled_from("+-*/"), e), max_leaves=6))
@settings(deadline=None)
def test_arithmetic_agrees_with_python_itself(tree):
    def written(node):
        return str(node) if isinstance(node, int) else f"({written(node[0])} {node[1]} {written(node[2])})"

    def exact(node):
        return f"Fraction({node})" if isinstance(node, int) else f"({exact(node[0])} {node[1]} {exact(node[2])})"

    try:
        expected = eval(exact(tree), {"Fraction": Fraction})  # of the test's own making
    except ZeroDivisionError:
        expected = None
    if expected is not None and max(abs(expected), expected.denominator) > 10**9:
        return  # near the limit of size, which numbers on the way may pass
    assert compute(written(tree)).value == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 14.", 14), ("so the Answer is: **14**", 14), ("answer is $14", 14), ("#### 14", 14),
        ("the answer is 3 . no , the answer is 4 .", 4), ("the answer is -2.5", Fraction(-5, 2)),
        ("the answer is unknown", None), ("14", None), ("the answer is " + "9" * 50, None), ("the answer is", None),
        ("der Preis ist 5 €, the answer IS 7", 7), ("the answer is ²", None),
        ("Here it is:\n```python\ndef solution():\n    a = 7 * 2\n    return a\n```\nIt prints 14.", 14),
        ("<llm-code>\nprint(7 * 2)\n</llm-code>\n<llm-code-output>\n15\n</llm-code-output>", 14),
        ("<llm-code>\n7 * 2", None),
    ],
)  # fmt: skip
def test_the_number_that_an_answer_ends_in(text, value):
    assert read(text).value == value
