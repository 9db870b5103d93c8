"""Opening phrase, answer channel and length: categories by hand, frozen at the reference."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.format_corpus.corpus import invented_corpus
from eval.facets import AnswerFacet, LengthFacet, OpeningFacet
from eval.facets.answer_channel import CHANNELS, answer_channel
from eval.facets.opening import opening
from eval.facets.remembered import Remembered
from tests.eval.facets.sampled import samples_of

# --- opening -----------------------------------------------------------------------------------------------------


def test_openings_are_eight_tokens_without_content():
    assert opening("First, we find how many apples Tom has: 12 of them.") == "First , we find how w has :"
    assert opening("  \n def f(x):\n    return x") == "def w ( w ) : ⏎ return"
    assert opening("") == opening(" \n") == "empty"


def test_frequent_openings_are_categories_and_the_rest_is_other():
    texts = ["First we add 1.", "First we add 2.", "So it is 3.", "So it is 4.", "So it is 5.", "Well."]
    facet = OpeningFacet(most=2)
    facet.fit(samples_of(texts))
    assert facet.categories == ("So it is 0 .", "First we w 0 .")
    assert facet.labels(samples_of(["So it is 99.", "First we take 8.", "Well.", "Now.", ""])) == [
        "So it is 0 .",
        "First we w 0 .",
        "other opening",
        "other opening",
        "empty",
    ]


def test_an_opening_that_one_prompt_brings_about_is_no_category():
    facet = OpeningFacet()
    facet.fit(samples_of(["Once upon"] * 5 + ["So it is."] * 2, ["a"] * 5 + ["b", "c"]))
    assert facet.categories == ("So it is .",)
    facet.fit(samples_of(["Once upon"] * 5, ["a"] * 5))  # a single prompt has no other to compare with
    assert len(facet.categories) == 1


def test_narrowing_within_one_format_is_seen():
    corpus = invented_corpus({"python_function": 1.0}, 0)
    facet = OpeningFacet()
    facet.fit(corpus.samples())
    before = Counter(facet.labels(corpus.samples()))
    narrowed = [text for text in corpus.texts if text.startswith("def solution")]
    after = Counter(facet.labels(samples_of(narrowed)))
    assert len(before) > len(after) == 1


# --- answer channel ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("So \\boxed{4}.", "boxed"),
        ("The answer is \\boxed{4}", "boxed"),  # the more explicit one
        ("2 + 2 = 4\n#### 4", "hashes"),
        ("####4\nis what we get", "hashes"),
        ("#### $1,234.50 \nis what we get", "hashes"),
        ("2 + 2 = 4\n#### 4 apples\n", "hashes"),
        ("#### Step 1: add\nso 4", "last number"),  # a heading in Markdown
        ("#### Answer\nIt is 4", "phrase"),
        ("##### 4", "last number"),
        ("<answer>4</answer>", "tag"),
        ("<answer_3> 4", "tag"),
        ('{"answer": 4}', "json key"),
        ("The answer is 4.", "phrase"),
        ("**Answer:** 4", "phrase"),
        ("The final answer to this is 4", "phrase"),
        ("## Answer\n4", "phrase"),
        ("def f():\n    return 4", "code"),
        ("def solution ( ) : a = 7 - 4 ; return a", "code"),
        ("print(4)", "code"),
        ("We return to the shop and pay 4.", "last number"),
        ("That makes 4 apples", "last number"),
        ("I cannot tell.", "none"),
        ("They answered a few.", "none"),
    ],
)
def test_the_channel_is_where_a_reader_would_look(text, expected):
    assert answer_channel(text) == expected


@given(st.text(max_size=100))
def test_every_text_has_one_known_channel(text):
    assert answer_channel(text) in CHANNELS


def test_the_end_of_a_long_text_is_what_counts():
    assert answer_channel("\\boxed{1} " + "no more words " * 2000 + "so the answer is 4") == "phrase"


def test_a_wrong_answer_has_the_channel_of_a_right_one():
    for corpus in (invented_corpus({name: 1.0}, 0, 5) for name in ("latex", "calculator", "thinking", "json_object")):
        wrong = [text.replace("1", "7").replace("2", "5") for text in corpus.texts]
        assert AnswerFacet().labels(samples_of(wrong)) == AnswerFacet().labels(samples_of(corpus.texts))


# --- length ------------------------------------------------------------------------------------------------------


def test_bins_hold_equal_shares_of_the_reference_with_one_beyond_each_end():
    facet = LengthFacet(num_bins=4)
    samples = samples_of(["x"] * 100, tokens=np.arange(101, 201))
    facet.fit(samples)
    assert facet.edges == (50, 125, 150, 175, 400)
    assert Counter(facet.labels(samples)) == {
        "51-125 tokens": 25,
        "126-150 tokens": 25,
        "151-175 tokens": 25,
        "176-400 tokens": 25,
    }
    ends = samples_of(["x"] * 5, tokens=np.array([0, 50, 51, 400, 401]))
    assert facet.labels(ends) == ["0-50 tokens"] * 2 + ["51-125 tokens", "176-400 tokens", "over 400 tokens"]


def test_characters_are_counted_where_tokens_are_not_known():
    facet = LengthFacet(num_bins=2)
    facet.fit(samples_of(["ab", "abcd"]))
    assert facet.unit == "characters"
    assert facet.labels(samples_of(["", "ab", "abc", "a" * 9])) == [
        "0 characters",
        "1-2 characters",
        "3-8 characters",
        "over 8 characters",
    ]


def test_equal_lengths_are_one_bin():
    facet = LengthFacet()
    facet.fit(samples_of(["abc"] * 10))
    assert Counter(facet.labels(samples_of(["abc"] * 10))) == {"2-3 characters": 10}


def test_a_unit_that_later_samples_do_not_have_is_an_error():
    facet = LengthFacet()
    facet.fit(samples_of(["a", "b"], tokens=np.array([1, 2])))
    with pytest.raises(ValueError, match=r"does not know its tokens.*Read both from logs of one kind"):
        facet.labels(samples_of(["a"]))
    with pytest.raises(ValueError, match="num_bins is 1"):
        LengthFacet(num_bins=1)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.lists(st.integers(0, 9000), max_size=20))
def test_every_length_is_in_the_bin_that_names_it(reference, later):
    facet = LengthFacet()
    facet.fit(samples_of(["x"] * len(reference), tokens=np.array(reference)))
    for length, label in zip(later, facet.labels(samples_of(["x"] * len(later), tokens=np.array(later))), strict=True):
        bounds = label.removesuffix(" tokens").removeprefix("over ").split("-")
        if label.startswith("over"):
            assert length > int(bounds[0])
        else:
            assert int(bounds[0]) <= length <= int(bounds[-1])


# --- memory ------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), max_size=8))
def test_remembered_labels_are_those_of_the_function_and_are_few(batches):
    asked = []

    def upper(texts):
        asked.append(list(texts))
        return [text.upper() for text in texts]

    remembered = Remembered(upper, most=3)
    for batch in batches:
        assert remembered(batch) == [text.upper() for text in batch]
        assert len(remembered._known) <= 3
    assert all(len(set(each)) == len(each) for each in asked)


def test_a_text_that_was_seen_is_not_computed_again():
    calls = []
    remembered = Remembered(lambda texts: [calls.append(text) or text for text in texts])
    remembered(["a", "b", "a"])
    remembered(["b", "a"])
    assert calls == ["a", "b"]
    remembered.forget()
    remembered(["a"])
    assert calls == ["a", "b", "a"]
