from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from eval.collapse.correctness import Correctness
from eval.collapse.counted import count
from eval.collapse.measures import ratio
from eval.collapse.monitor import Monitor
from eval.collapse.quantities import Thresholds, choose_quantities
from eval.collapse.verdicts import Standing, is_critical, judge, winner_of
from tests.eval.collapse.stream import BySign, mixture

NAMES = [f"p{i}" for i in range(96)]


def standing(before, right_before, after, right_after, **options) -> Standing:
    """Base and three looks after it, on one panel."""
    rng = np.random.default_rng(0)
    parts = [mixture(0, before, right_before, rng, names=NAMES, **options)]
    parts += [mixture(step, after, right_after, rng, names=NAMES, **options) for step in (8, 9, 10)]
    base, *now = (count(each, [BySign()], Correctness("correct")) for each in parts)
    return Standing(base, now)


def verdict(found: Standing, *kinds: str) -> str:
    quantities = choose_quantities(found.base, Thresholds(), True)
    named = [each for each in quantities if each.kind in kinds]
    return judge(found, named, {each.name: 10.0 for each in named}, Thresholds())[0]


def test_the_better_format_winning_at_no_cost_is_benign():
    found = standing((0.5, 0.3, 0.2), (0.7, 0.4, 0.3), (0.98, 0.01, 0.01), (0.9, 0.4, 0.3), group=4)
    assert verdict(found, "share", "collision") in ("benign selection", "sharpening")
    assert winner_of(found) == "python"


def test_pass_at_1_up_and_pass_at_k_flat_is_sharpening():
    found = standing((0.4, 0.3, 0.3), (0.5, 0.5, 0.5), (0.98, 0.01, 0.01), (0.8, 0.5, 0.5))
    assert verdict(found, "share") == "sharpening"  # of 8 samples at a half nearly every prompt has a right one


def test_fewer_prompts_solved_by_k_samples_is_costly():
    found = standing((0.4, 0.3, 0.3), (0.5, 0.5, 0.5), (0.98, 0.01, 0.01), (0.1, 0.1, 0.1))
    assert verdict(found, "share", "paired coverage") == "costly collapse"
    assert verdict(found, "share") == "costly collapse"  # the interval alone says it, too


def test_a_format_that_wins_although_another_was_more_often_right_is_the_wrong_winner():
    found = standing((0.4, 0.3, 0.3), (0.2, 0.7, 0.2), (0.98, 0.01, 0.01), (0.3, 0.7, 0.2))
    assert verdict(found, "share") == "wrong winner"


@pytest.mark.parametrize(("winner", "rival"), [(0.0, 0.4), (0.6, 1.0), (0.0, 1.0)])
def test_a_format_that_is_never_right_is_the_wrong_winner_and_so_is_one_that_beats_one_always_right(winner, rival):
    """No spread between prompts is no lack of knowledge."""
    found = standing((0.4, 0.3, 0.3), (winner, rival, 0.1), (0.98, 0.01, 0.01), (winner, rival, 0.1))
    assert verdict(found, "share") == "wrong winner"


def test_where_nothing_is_ever_right_no_selection_is_called_benign():
    found = standing((0.4, 0.3, 0.3), (0, 0, 0), (0.98, 0.01, 0.01), (0, 0, 0))
    assert verdict(found, "share") == "insufficient data"
    always = standing((0.4, 0.3, 0.3), (1, 1, 1), (0.98, 0.01, 0.01), (1, 1, 1))
    assert verdict(always, "share") == "benign selection"


def test_a_loss_that_few_prompts_cannot_tell_from_luck_is_not_called_benign():
    rng = np.random.default_rng(4)
    parts = [mixture(0, (0.4, 0.3, 0.3), (0.5, 0.5, 0.5), rng, names=NAMES[:12], group=4)]
    parts += [mixture(1, (0.98, 0.01, 0.01), (0.3, 0.3, 0.3), rng, names=NAMES[12:24], group=4)]
    base, now = (count(each, [BySign()], Correctness("correct")) for each in parts)
    found = Standing(base, [now])
    assert found.difference(4).hi > 0 > -0.02 > found.difference(4).est
    assert verdict(found, "share") == "insufficient data"


@given(st.integers(2, 40))
def test_where_no_prompt_has_a_right_sample_the_interval_reaches_what_they_would_hide(prompts):
    """Oracle: Clopper and Pearson's exact interval, which scipy has."""
    zeros, fours = np.zeros(prompts, dtype=np.int64), np.full(prompts, 4)
    exact = binomtest(0, prompts).proportion_ci(0.95, "exact")
    assert ratio(zeros, fours).hi == pytest.approx(exact.high)
    assert ratio(fours, fours).lo == pytest.approx(1 - exact.high)
    assert ratio(fours // 2, fours).hi is None


def test_empty_samples_that_grow_are_degenerate():
    found = standing(
        (0.5, 0.49, 0.01), (0.5, 0.5, 0.0), (0.3, 0.2, 0.5), (0.5, 0.5, 0.0), formats=("python", "tagged", "empty")
    )
    assert verdict(found, "broken") == "degenerate"
    assert is_critical(found, "degenerate", [])


def test_nothing_named_is_no_change_and_one_format_from_the_start_is_nothing_to_collapse():
    same = standing((0.5, 0.3, 0.2), (0.5, 0.5, 0.5), (0.5, 0.3, 0.2), (0.5, 0.5, 0.5))
    assert verdict(same) == "no change"
    one = standing((0.999, 0.0005, 0.0005), (0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.5, 0.5, 0.5), spread=1000.0)
    assert verdict(one) == "nothing to collapse"


def test_what_went_back_is_no_change_any_more():
    same = standing((0.5, 0.3, 0.2), (0.5, 0.5, 0.5), (0.5, 0.3, 0.2), (0.5, 0.5, 0.5))
    named = [each for each in choose_quantities(same.base, Thresholds(), True) if each.kind in ("share", "broken")]
    found, why = judge(same, named, {}, Thresholds())
    assert found == "no change"
    assert "back within its bounds" in why


def test_too_few_samples_are_insufficient():
    rng = np.random.default_rng(1)
    few = [count(mixture(i, (1, 0, 0), (1, 1, 1), rng, prompts=2, group=2), [BySign()], None) for i in range(2)]
    assert judge(Standing(few[0], few[1:]), [], {}, Thresholds())[0] == "insufficient data"


def test_without_correctness_a_collapse_is_not_judged():
    rng = np.random.default_rng(2)
    parts = [mixture(0, (0.4, 0.3, 0.3), (1, 1, 1), rng), mixture(1, (0.98, 0.01, 0.01), (1, 1, 1), rng)]
    base, now = (count(each, [BySign()], None) for each in parts)
    named = [each for each in choose_quantities(base, Thresholds(), False) if each.kind == "share"]
    found, why = judge(Standing(base, [now]), named, {}, Thresholds())
    assert found == "insufficient data"
    assert "without a measure of correctness" in why


def test_one_format_for_all_is_critical_where_a_good_rival_was_given_up():
    given_up = standing((0.4, 0.3, 0.3), (0.5, 0.5, 0.5), (0.99, 0.005, 0.005), (0.8, 0.5, 0.5))
    hopeless = standing((0.4, 0.3, 0.3), (0.8, 0.1, 0.1), (0.99, 0.005, 0.005), (0.8, 0.1, 0.1))
    assert is_critical(given_up, "sharpening", [])
    assert not is_critical(hopeless, "sharpening", [])


@pytest.mark.parametrize(("spec", "words"), [("correct", "correct"), ("correct>=0.5", "correct >= 0.5")])
def test_correctness_is_named_by_a_component(spec, words):
    rng = np.random.default_rng(3)
    watched = Monitor([BySign()], correct=spec, with_vendi=False)
    watched.look(mixture(0, (0.5, 0.3, 0.2), (0.5, 0.4, 0.3), rng))
    assert watched.reference.correctness.words == words


def test_a_component_that_is_not_there_is_refused_with_those_that_are():
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match=r"correct is 'accuracy': expected one of \['correct'\]"):
        Monitor([BySign()], correct="accuracy").look(mixture(0, (0.5, 0.3, 0.2), (0.5, 0.4, 0.3), rng))


def test_before_an_answer_can_be_read_none_is_correct_and_later_ones_count():
    rng = np.random.default_rng(5)
    first, later = (mixture(step, (0.5, 0.3, 0.2), (1.0, 1.0, 1.0), rng) for step in (0, 1))
    watched = Monitor([BySign()], correct="correct", with_vendi=False)
    unread = dataclasses.replace(first, components=(), rewards=first.rewards[:, :0])
    assert watched.look(unread).pass_at_k["1"].now.est == 0.0
    assert watched.look(later).pass_at_k["1"].now.est == 1.0
