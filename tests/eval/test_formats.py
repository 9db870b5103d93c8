"""The rule taxonomy, and the traps of classifiers that came before it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.formats import LABELS, RuleTaxonomy, repeats_at_the_end

label = RuleTaxonomy()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("I think " + "the the the " * 20, "degenerate"),
        ("<answer_1> 3 </answer_1> <answer_2> 4 </answer_2>", "tagged answers"),
        ("<think>well</think> 4", "think tags"),
        ('<tool_call>{"name": "f"}</tool_call>', "tool call"),
        ('{"answer": 4}', "json"),
        ("Here:\n```python\nx = 1\n```", "code fence"),
        ("def solve(n):\n    return n + 1", "python"),
        ("So the answer is \\boxed{4}.", "boxed"),
        ("2 + 2 = 4\n#### 4", "final-answer marker"),
        ("We have $x^2 = 4$, hence $x = 2$.", "latex"),
        ("| a | b |\n| 1 | 2 |", "table"),
        ("1. add\n2. multiply", "numbered steps"),
        ("٣. add\n٤. multiply", "numbered steps"),  # digits of any script
        ("- add\n- multiply", "bullets"),
        ("# Plan\nAdd them up.", "headings"),
        ("Adding the two numbers gives four.", "prose"),
        ("4", "other"),
        # traps: words that look like code, prices that look like mathematics, broken markup that is not text
        ("We define the class of all numbers and import nothing from it.", "prose"),
        ("It costs $5 and then $6 more in the end.", "prose"),
        ("class A students did well:\nimport duty fell.\nfor example in this case: yes.", "prose"),
        # ... and that a format done badly is still that format: whether it parses says whether it is right
        ('{"answer": [4', "json"),
        ("def solve(n:\n    return n +", "python"),
        ("def solve(\n    n,\n):\n    return n", "python"),
        ("<answer_1> 3 <answer_2> 4", "tagged answers"),
        ("Well, so it is 4.</think>", "think tags"),
        # no list of one, no table of one bar, no heading without a word
        ("1. Only this one.\nNo other.", "prose"),
        ("a | b means that either holds.", "prose"),
        ("- Only this one.\nNo other.", "prose"),
        ("#### 42", "final-answer marker"),
        ("See the tags <y and y> here", "prose"),
        ("Use <b>bold</b> type", "xml tags"),
        ('```json\n{"a": 1}\n```', "json"),
        ("import math\nprint(math.pi)", "python"),
        ("### Step 1: add\n### Step 2: multiply", "numbered steps"),
        ("答案是四。", "prose"),
    ],
)
def test_each_text_has_the_label_a_reader_would_give(text, expected):
    assert label(text) == expected


def test_a_text_shows_several_features_and_has_one_label():
    text = "1. We have $x^2 = 4$.\n2. So \\boxed{2}."
    assert label.features(text) == {"latex", "numbered steps", "boxed"}
    assert label(text) == "latex"


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("The end. " * 20, True),
        ("First a thought. " + "And so on, and on, and on to the very last of them. " * 4, True),
        ("First a thought. " + "And so on, and on, and on to the very last of them. " * 3, False),
        ("0." + "3" * 80, True),
        ("The end. " * 20 + "\nNow for something else.", False),
        ("ha ha ha ha", False),  # short texts may repeat themselves
        ("".join(f"<answer_{i}> a1 a2 a3 b3 b4 </answer_{i}>\n" for i in range(1, 11)), False),  # alike, not endless
    ],
)
def test_only_an_end_that_repeats_one_passage_is_degenerate(text, repeats):
    assert repeats_at_the_end(text) == repeats
    assert (label(text) == "degenerate") == repeats


def test_a_cut_completion_is_truncated_whatever_it_began_as():
    assert label("def solve(n):\n    return", finish_reason="length") == "truncated"
    assert label("yes " * 100, finish_reason="length") == "degenerate"


@given(st.text(max_size=300), st.sampled_from(["stop", "length"]))
def test_every_text_has_exactly_one_known_label(text, reason):
    assert label(text, reason) in LABELS


@pytest.mark.parametrize(
    "text",
    [
        "1. a\n" * 20_000,
        "- x\n" + "\n" * 200_000,
        "$" * 500_000,
        "<a_1>" * 100_000,
        "[" * 90_000,
        " " * 200_000 + "x",
        "x" + "$=" * 100_000 + "y",
        "</" * 100_000,
        "for in " * 50_000,
    ],
)
def test_no_text_takes_long(text):
    start = time.perf_counter()
    label(text)
    assert time.perf_counter() - start < 2  # hangs for minutes when a rule backtracks; not a measure of speed
