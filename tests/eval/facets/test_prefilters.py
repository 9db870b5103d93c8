"""The rules look for cheap signs before they search by pattern; labels are those of the patterns alone."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.format_corpus.corpus import WRITERS, invented_corpus, word_problem_corpus
from eval.formats import _FEATURES, _WORD, RuleTaxonomy, _has_paired_tags, repeats_at_the_end

label = RuleTaxonomy()


def shows(text, feature):
    matches = feature.pattern.finditer(text)
    found = all(next(matches, None) is not None for _ in range(feature.least))
    return found and (feature.name != "xml tags" or _has_paired_tags(text))


def plain_label(text, finish_reason="stop"):
    """The rules without any shortcut, as they were first written."""
    if not text or text.isspace():
        return "empty"
    if repeats_at_the_end(text):
        return "degenerate"
    if finish_reason == "length":
        return "truncated"
    for feature in _FEATURES:
        if shows(text, feature):
            return feature.name
    letters = sum(map(str.isalpha, text[:2000]))
    is_prose = bool(_WORD.search(text)) and 2 * letters >= len("".join(text[:2000].split()))
    return "prose" if is_prose else "other"


# Pieces that rules are made of and what breaks them: a text of these hits every branch.
pieces = st.sampled_from(
    [
        *["\n", "\n\n", " ", "\t", "    ", "\r\n", "\x0b", "\u2028", "\xa0"],
        *["def ", "async def ", "f(", "def f(x):", "import os", "from a import b", "print(", "return", "for i in x:"],
        *["{", "[", '"a"', '":', ":", "```", "```json", "```JSON", "~~~", "`"],
        *["<tool_call>", "</llm-code>", "<|python_tag|>", "<function=", "function_call", "<think>", "</reasoning>"],
        *["<b>", "</b>", "<answer>", "</answer>", "<answer_1>", "<y", "$", "$$", "\\[", "\\(", "\\frac", "\\boxed"],
        *["x^2", "1.", "1)", "12. ", "٣. ", "३) ", "Step 1", "STEP 2", "ſtep 3", "step", "**1. ", "### 2) "],
        *["- ", "* x", "+ y", "• ", "# ", "## T", "####", "#### 4", "| a | b |", "|---|---|", "|"],
        *["the answer is", "define", "undefined", "答案", "é", "42", "0", ".", ","],
    ]
)
realistic = st.lists(pieces, max_size=25).map("".join)
reasons = st.sampled_from(["stop", "length", ""])


@settings(max_examples=400)
@given(st.one_of(realistic, st.text(max_size=200), st.text(string.printable, max_size=200)), reasons)
def test_the_label_is_the_one_of_the_patterns_alone(text, reason):
    assert label(text, reason) == plain_label(text, reason)


@settings(max_examples=200)
@given(realistic)
def test_the_features_are_those_of_the_patterns_alone(text):
    assert label.features(text) == {feature.name for feature in _FEATURES if shows(text, feature)}


@pytest.mark.parametrize("seed", range(3))
def test_whole_completions_keep_their_labels(seed):
    corpora = [invented_corpus(dict.fromkeys(WRITERS, 1.0), seed)]
    corpora += [word_problem_corpus(wording, seed, num_prompts=20) for wording in ("words", "chat")]
    for text in (text for corpus in corpora for text in corpus.texts):
        for cut in (len(text), len(text) // 2, len(text) // 3):
            assert label(text[:cut]) == plain_label(text[:cut])
            assert label.features(text[:cut]) == {each.name for each in _FEATURES if shows(text[:cut], each)}
