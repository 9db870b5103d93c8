"""Masked texts, skeletons and their vectors: content goes, structure stays, and the fast sums are the slow ones."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.format_corpus.corpus import WRITERS, invented_corpus
from eval.facets.masking import STRUCTURAL, masked
from eval.facets.skeleton import KINDS, bare_kind, skeleton
from eval.facets.vectors import (
    BITS,
    DIMENSIONS,
    _code,
    _hashed,
    counts,
    document_counts,
    document_weights,
    one_view,
    view_shares,
    weighted,
)
from tests.checkout import ROOT


@pytest.mark.parametrize("module", ["masking", "skeleton", "opening", "answer_channel"])
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(importlib.import_module(f"eval.facets.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


@given(st.text(max_size=200))
def test_what_is_masked_has_no_digits_and_no_words_but_structural_ones(text):
    hidden = masked(text)
    words = "".join(each if each.isalpha() or each in "'’_" else " " for each in hidden).split()
    assert not any(each.isdecimal() and each != "0" for each in hidden)
    assert all(len(word) == 1 or word.lower() in STRUCTURAL or not word[0].isalpha() for word in words)


def test_texts_that_differ_in_content_alone_are_the_same():
    assert masked("Tom buys 12 red apples.") == masked("Ann sells 3,400.5 blue pears.")
    assert masked("The sum is 3 + 4 = 7.") == masked("The sum is 10 + 25 = 35.")
    assert masked("The sum is 3 + 4 = 7.") != masked("So we get 3 + 4 = 7.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["blank"]),
        ("```python\nx = 1\n```", ["fence:python", "assignment", "fence"]),
        ("class A:\n    async def f(self):\n        return 1", ["def", ">def", ">return"]),
        ("# Plan\n\n- a\n- b", ["heading", "blank", "bullet"]),
        ("1. a\n2) b\nStep 3: c", ["numbered"]),
        ("**Step 1:** add", ["numbered+bold"]),
        ("\\[\nx\n\\]", ["display", "text", "display"]),
        ("| a | b |\n|---|---|", ["row"]),
        ('{\n  "a": 1\n}', ["json", ">json", "json"]),
        ("We get $x$ and $y$.\n#### 4", ["text+math", "gsm"]),
        ("####yes\n\n#### -1,200.5 ", ["gsm", "blank", "gsm"]),
        ("#### Step 1: add\n- a\n#### 2. Sum\n##### 4", ["heading", "bullet", "heading"]),
        ("<answer_12>\n4\n</answer_12>", ["tag:answer_0", "sum", "tag:answer_0"]),
        ("x = 1  \n    # why\n    y += 2", ["assignment", ">comment", ">assignment"]),
        ("So \\boxed{4}.", ["text+boxed"]),
        ("So 3*4 = <<3*4=12>>12.", ["text+calculator"]),
        ("The answer is 4.", ["answer"]),
        ('    """Docs."""', [">docstring"]),
        ("We define it, and return to the class.", ["text"]),
        ("return to the shop", ["text"]),
        ("for example: yes", ["text"]),
        ("a == b", ["text"]),
    ],
)
def test_lines_have_types_and_runs_are_one(text, expected):
    assert skeleton(text) == expected


@given(st.text(alphabet='ab #-*1.|\n\t<>{}"$\\=', max_size=80))
def test_every_line_has_a_known_kind_and_neighbours_differ(text):
    found = skeleton(text)
    assert all(bare_kind(each) in {*KINDS, "comment"} for each in found)
    assert all(first != second for first, second in pairwise(found))


def slow_hashes(sequence, orders):
    """Python's integers in place of arrays that wrap around."""
    found = Counter()
    for order in orders:
        for start in range(len(sequence) - order + 1):
            total = order
            for code in sequence[start : start + order]:
                total = (total * 0x100000001B3 + int(code)) % 2**64
            found[(total * 0x9E3779B97F4A7C15) % 2**64 >> (64 - BITS)] += 1
    return found


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=9), max_size=5))
def test_hashed_counts_of_a_batch_are_those_of_each_sequence_by_itself(sequences):
    found = _hashed([np.array(each, dtype=np.uint64) for each in sequences], (1, 2, 3))
    assert found.shape == (len(sequences), 1 << BITS)
    for row, sequence in enumerate(sequences):
        dense = found[[row]].toarray()[0]
        assert {place: int(dense[place]) for place in np.flatnonzero(dense)} == slow_hashes(sequence, (1, 2, 3))


def test_vectors_have_length_one_and_views_the_parts_they_were_given():
    texts = invented_corpus(dict.fromkeys(WRITERS, 1.0), 0, num_prompts=5).texts
    found = counts(texts)
    weights = document_weights(len(texts), document_counts(found))
    assert weights.min() >= 1
    vectors = weighted(found, weights, (0.3, 0.7))
    squares = np.asarray((vectors * vectors).sum(axis=1))
    assert squares == pytest.approx(1)
    half = vectors[:, : DIMENSIONS // 2]
    assert np.asarray((half * half).sum(axis=1)) == pytest.approx(0.3)
    cosines = [(one_view(vectors, view) @ one_view(vectors, view).T).toarray() for view in range(2)]
    assert (vectors @ vectors.T).toarray() == pytest.approx(0.3 * cosines[0] + 0.7 * cosines[1])


def test_a_view_counts_by_how_much_the_reference_varies_in_it():
    one_line = [f"{word} the {word} of it" for word in ("so", "then", "now", "first", "hence")]
    found = counts(one_line)
    shares = view_shares(found, document_weights(5, document_counts(found)))
    assert shares == (0.1, 0.9)  # every skeleton is ["text"]
    assert sum(shares) == pytest.approx(1)
    assert view_shares(counts([]), np.ones(DIMENSIONS)) == (0.5, 0.5)


def test_hashes_are_the_same_in_every_process():
    command = "from eval.facets.vectors import counts; print(counts(['def f():', 'So é.']).indices.tolist())"
    found = [
        subprocess.run(
            [sys.executable, "-c", command],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("0", "1")
    ]
    assert found[0] == found[1] == f"{counts(['def f():', 'So é.']).indices.tolist()}\n"
    assert _code("text") == _code("text") != 0


@pytest.mark.parametrize(
    "text",
    ["1. a\n" * 20_000, "$" * 300_000, "<a" * 100_000, '"' * 200_000, "|" * 200_000, "w " * 200_000, "a='" * 100_000],
)
def test_no_text_takes_long(text):
    start = time.process_time()
    masked(text), skeleton(text), counts([text])
    assert time.process_time() - start < 2  # hangs when a pattern backtracks; not a measure of speed


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_any_text_has_a_vector(text):
    found = counts([text])
    assert found.nnz > 0
    assert np.isfinite(weighted(found, np.ones(DIMENSIONS), (0.5, 0.5)).data).all()


def test_a_lone_surrogate_is_a_character_like_any_other():
    assert counts(["a\ud800b"]).nnz > 0
