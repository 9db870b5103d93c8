from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpo.tasks.texts import between, multiset_f1, normalize, word_f1

WORDS = st.lists(st.sampled_from(["red", "fox", "tea", "lyon"]), max_size=6)


@pytest.mark.parametrize(
    ("text", "squad", "released"),
    [
        ("The  Lyon Opera!", "lyon opera", "lyon opera"),
        ("U.S.A.", "usa", "us"),  # the middle A stands between full stops: an article to the one that looks first
        ("the-art", "theart", "art"),
        ("a, an, the", "", ""),
        ("Anthem of the theory", "anthem of theory", "anthem of theory"),
    ],
)
def test_the_two_orders_of_normalisation_differ_beside_punctuation_alone(text, squad, released):
    assert normalize(text, "squad") == squad
    assert normalize(text, "released") == released


def test_articles_stay_where_they_are_asked_to():
    assert normalize("The  Fox!", articles=None) == "the fox"


def test_f1_of_words_by_hand():
    # 2 common words of 3 found and 4 wanted: precision 2/3, recall 1/2, F1 = 2 * (1/3) / (7/6) = 4/7
    assert word_f1("red fox tea", "red fox jumps high") == pytest.approx(4 / 7)
    assert word_f1("red red", "red") == pytest.approx(2 / 3)  # a bag: the second red is one too many
    assert word_f1("the", "an") == 1.0  # neither says anything
    assert word_f1("", "fox") == word_f1("fox", "") == 0.0


@given(WORDS, WORDS, st.randoms())
def test_f1_is_symmetric_within_its_range_and_blind_to_order(ours, theirs, rng):
    score = multiset_f1(ours, theirs)
    assert 0.0 <= score <= 1.0
    assert score == multiset_f1(theirs, ours)
    mixed = list(ours)
    rng.shuffle(mixed)
    assert multiset_f1(mixed, theirs) == score
    assert (score == 1.0) == (sorted(ours) == sorted(theirs))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x <a> one </a> <a>two</a>", "one"),
        ("</a> <a>one</a>", "one"),
        ("<a><a>one</a></a>", "<a>one"),
        ("<a>never closed", None),
        ("</a>", None),
        ("<a></a>", ""),
    ],
)
def test_the_first_pair_of_tags_counts(text, found):
    assert between(text, "<a>", "</a>") == found
