"""Rules from YAML: precedence, classes that are always there, errors with line and key, patterns that would hang."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.facets import RuleError, default_facets, parse_rules, read_rules
from eval.facets.pattern_cost import LONGEST, seen_by_rules, slow_text
from eval.formats import _FEATURES
from tests.eval.facets.sampled import samples_of

RULES = r"""
- label: sql
  pattern: 'select\b.+\bfrom\b'
  flags: [ignorecase, dotall]
- label: steps
  pattern: '\d+[.)]\s'
  lines: true
  least: 2
- label: code
  any_of: ['def \w+\(', '<llm-code>']
- label: worked
  all_of:
    - '='
    - '####'
- label: sql
  pattern: 'CREATE TABLE'
"""
rules = parse_rules(RULES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Select a\nFROM b", "sql"),
        ("CREATE TABLE x", "sql"),
        ("select it, def f(", "code"),
        ("1. a\n  2) b", "steps"),
        ("1. a and 2. b", "other"),  # the second does not begin a line
        ("1. a\n2. b\ndef f(", "steps"),  # the first rule wins
        ("<llm-code> x", "code"),
        ("2 + 2 = 4\n#### 4", "worked"),
        ("#### 4", "other"),
        ("", "empty"),
        ("def f( " + "and on " * 30, "degenerate"),
        ("create table x", "other"),
    ],
)
def test_the_first_rule_that_applies_gives_the_label(text, expected):
    assert rules(text) == expected


def test_a_cut_text_is_truncated_whatever_rules_say():
    assert rules("def f(", "length") == "truncated"


def test_labels_are_listed_in_order_of_precedence():
    assert rules.labels == ("empty", "degenerate", "truncated", "sql", "steps", "code", "worked", "other")


@given(st.text(max_size=80), st.sampled_from(["stop", "length"]))
def test_every_text_has_one_of_the_labels(text, reason):
    assert rules(text, reason) in rules.labels


def test_a_file_of_rules_is_the_taxonomy_of_the_format_facet(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    (facet,) = default_facets("format", rules=path)
    assert facet.labels(samples_of(["def f(", "", "x", "def f("], finish_reasons=["stop", "", None, "length"])) == [
        "code",
        "empty",
        "other",
        "truncated",
    ]
    path.write_text("- label: a\n  pattern: '('\n")
    with pytest.raises(RuleError, match=r"rules\.yaml, line 2, key pattern: '\(' is no regular expression"):
        read_rules(path)
    path.write_bytes("- label: é\n  pattern: x".encode("latin-1"))
    with pytest.raises(RuleError, match=r"rules\.yaml is no text in UTF-8"):
        read_rules(path)
    with pytest.raises(FileNotFoundError, match="there is no file of rules at"):
        default_facets("format", rules=tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rules holds None: expected a list of rules"),
        ("a: 1", "expected a list of rules"),
        ("- [", "rules is no YAML"),
        ("- label: !mine a\n  pattern: x", "rules is no YAML that can be used: could not determine a constructor"),
        ("- label: a\n  pattern: x\n  least: !!int many", "rules is no YAML that can be used: invalid literal"),
        ("- label: 2026-99-99\n  pattern: x", "rules is no YAML that can be used: month must be in 1..12"),
        ("- label: a\n  pattern: x\n  flags: {[a]: b}", "rules is no YAML that can be used: (?s:.*)unhashable key"),
        pytest.param("[" * 1000, "rules is no YAML that can be used: maximum recursion", id="deep"),
        (
            "- label: a\n  pattern: 'x{99999999999}'",
            r"line 2, key pattern: .* is no regular expression: the repetition",
        ),
        ("- 3", "line 1: a rule is 3: expected keys"),
        ("- pattern: 'a'", "line 1: label is None: expected text"),
        ("- label: 3\n  pattern: 'a'", "line 1: label is 3: expected text"),
        ("- label: other\n  pattern: 'a'", "line 1: label is 'other', which is told apart without rules"),
        ("- label: a\n\n- label: b\n  pattern: x", "line 1: the rule has no pattern"),
        ("- label: a\n  pattern: x\n  any_of: [y]", "the rule has pattern and any_of"),
        ("- label: a\n  pattern: x\n  lest: 2", "line 3: unknown key 'lest'"),
        ("- label: a\n  pattern: x\n  pattern: y", "line 1: a key stands twice in the rule"),
        ("- label: a\n  pattern: x\n  least: 0", "line 3: least is 0"),
        ("- label: a\n  pattern: x\n  least: true", "line 3: least is True"),
        ("- label: a\n  pattern: x\n  lines: 1", "line 3: lines is 1"),
        ("- label: a\n  pattern: x\n  flags: [verbose]", r"line 3: flags is \['verbose'\]"),
        ("- label: a\n  pattern: x\n  flags: 3", "line 3: flags is 3"),
        ("- label: a\n  all_of: x", "line 2: all_of is 'x': expected a list"),
        ("- label: a\n  any_of: []", "line 2: any_of is"),
        ("- label: a\n  pattern: [x]", r"line 2: pattern is \['x'\]: expected one pattern"),
        ("- label: a\n  any_of:\n    - x\n    - '['", r"line 4, key any_of: '\[' is no regular expression"),
        ("- label: a\n  pattern: 3", "line 2, key pattern: the pattern is 3"),
        ("- label: a\n  pattern: 'x*'", "line 2, key pattern: 'x\\*' matches the empty text"),
        ("- label: a\n  pattern: '(x+)+$'", r"line 2, key pattern: '\(x\+\)\+\$' takes .* would stop the monitor"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(text, message):
    with pytest.raises(RuleError, match=message):
        parse_rules(text)


@pytest.mark.parametrize(
    "pattern",
    [
        *[r"(a+)+$", r"(\w+\s?)*$", r"(a|a)*b", r"(?:x+y?)+z", r"([ab]+c?)*d$", r"(\d+\.?)+%"],
        *[r"(я+)+$", r"(\u044f+)+$", r"([か-ん]+ん?)+x", r"(ß|ß)*s"],
        *[r"x.*y.*z", r"<b>.*</b>.*<i>", r"if .* then .* else", r"\d.*[a-z].*%"],  # the cube of the length
    ],
)
def test_a_pattern_that_would_hang_is_refused_before_it_does(pattern):
    start = time.process_time()
    assert slow_text(re.compile(pattern)) is not None
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    "pattern", [r"(?:a++)+$", r"\d+[.)]\s", r"^(?:[^,]*,)*$", r"def \w+\(", r"\\boxed\{.+\}", r"x.*y", r"я.+ю"]
)
def test_an_ordinary_pattern_passes(pattern):
    assert slow_text(re.compile(pattern, re.MULTILINE)) is None


def test_the_built_in_patterns_pass_as_well():
    assert [feature.name for feature in _FEATURES if slow_text(feature.pattern)] == []


@given(st.text(alphabet="ab\n", max_size=50), st.integers(0, 400))
def test_rules_see_the_head_and_the_end_of_long_texts(text, times):
    seen = seen_by_rules(text * times)
    assert len(seen) <= LONGEST
    if len(text * times) <= LONGEST:
        assert seen == text * times
    else:
        head, tail = seen[: LONGEST * 3 // 4], seen[LONGEST * 3 // 4 + 1 :]
        assert (text * times).startswith(head)
        assert (text * times).endswith(tail)
        assert seen[LONGEST * 3 // 4] == "\n"
