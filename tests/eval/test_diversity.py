from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.diversity import between_collision, effective_numbers, score_of_kernel, vendi_score, within_collision

SHARES = np.array([0.5, 0.3, 0.15, 0.05])
counts = arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 9))


def test_collision_of_eight_samples_is_unbiased_where_the_plug_in_is_not():
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(8, SHARES, size=40_000)
    truth = float((SHARES**2).sum())  # .365
    plug_in = ((drawn / 8) ** 2).sum(axis=1)
    unbiased = within_collision(drawn)
    error = float(unbiased.std()) / math.sqrt(len(drawn))
    assert abs(unbiased.mean() - truth) < 4 * error
    assert plug_in.mean() > truth + 0.07  # .445, as the research has it


def test_collision_between_prompts_is_unbiased_for_prompts_that_differ():
    rng = np.random.default_rng(1)
    chances = rng.dirichlet(SHARES * 3, size=12)
    off = [float(a @ b) for i, a in enumerate(chances) for j, b in enumerate(chances) if i != j]
    truth = sum(off) / len(off)
    found = [between_collision(np.stack([rng.multinomial(4, chance) for chance in chances])) for _ in range(4000)]
    assert abs(np.mean(found) - truth) < 4 * np.std(found) / math.sqrt(len(found))


def test_collision_is_counted_over_pairs():
    assert within_collision([[2, 2]]).tolist() == [1 / 3]  # 2 of 6 pairs agree
    assert within_collision([[4, 0], [1, 0]]).tolist()[0] == 1.0
    assert math.isnan(within_collision([[1, 0]])[0])
    assert between_collision([[1, 0], [0, 1], [1, 0]]) == pytest.approx(1 / 3)


def test_every_prompt_with_a_kind_of_its_own_has_alpha_one_and_gamma_many():
    alpha, gamma, beta = effective_numbers(np.eye(5, dtype=int) * 4)
    assert alpha == 1.0
    assert gamma == math.inf  # no pair of prompts agrees
    assert math.isnan(beta)
    alpha, gamma, beta = effective_numbers(np.array([[4, 0]] * 3 + [[0, 4]] * 3))
    assert (alpha, gamma, beta) == (1.0, pytest.approx(2.5), pytest.approx(2.5))  # 12 of 30 ordered pairs agree


@given(counts)
def test_collisions_are_chances_and_do_not_depend_on_the_order_of_kinds(values):
    within = within_collision(values)
    assert np.all((within[~np.isnan(within)] >= 0) & (within[~np.isnan(within)] <= 1))
    assert np.array_equal(within, within_collision(values[:, ::-1]), equal_nan=True)
    between = between_collision(values)
    assert math.isnan(between) or 0 <= between <= 1


def test_large_counts_agree_with_scikit_bio():
    from skbio.diversity.alpha import hill

    numbers = np.array([5000, 3000, 1500, 500])
    alpha, _, _ = effective_numbers(numbers[None])
    assert alpha == pytest.approx(hill(numbers, order=2), rel=1e-3)  # theirs is the plug-in: equal in the limit


@pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
def test_score_of_a_kernel_agrees_with_vendi_score():
    from vendi_score import vendi

    rng = np.random.default_rng(2)
    for _ in range(5):
        vectors = rng.normal(size=(6, 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        kernel = vectors @ vectors.T
        assert score_of_kernel(kernel) == pytest.approx(vendi.score_K(kernel), rel=1e-6)


def test_vendi_score_counts_different_texts():
    assert vendi_score(["the same text"] * 5) == pytest.approx(1.0)
    assert vendi_score(["aaaaaaaa", "bbbbbbbb", "cccccccc"]) == pytest.approx(3.0, abs=0.05)
    assert vendi_score(["", "", "x"]) == pytest.approx(1.89, abs=0.01)  # exp(entropy of 2/3, 1/3)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_vendi_score_lies_between_one_and_the_number_of_texts(texts):
    assert 1 - 1e-6 <= vendi_score(texts) <= len(texts) + 1e-6


def test_no_text_has_no_vendi_score():
    with pytest.raises(ValueError, match="there is no text: expected one at least"):
        vendi_score([])


def test_counts_of_one_prompt_must_be_a_row():
    with pytest.raises(ValueError, match=r"counts have shape \(3,\): expected \(P, K\)"):
        within_collision([1, 2, 3])
