"""w* where components do not apply: what evaluation counts is what training pays and what search maximizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.looks import look_at
from eval.prompt_curves import prompt_curves
from eval.prompt_weights import prompt_weights
from search.problem import TaskProblem
from trainers import VPOConfig
from trainers.payment import Payment
from trainers.scored_batch import applicable
from vpo.answers import AnswerFormat

W_STAR = np.array([0.5, 0.3, 0.2])


@given(arrays(bool, (5, 3)), arrays(float, 3, elements=st.just(0.0) | st.floats(0.01, 4.0)))
def test_full_marks_are_worth_the_same_on_every_prompt_and_what_is_lacking_has_no_weight(has, w_star):
    weights = prompt_weights(w_star, has)
    assert not weights[~has].any()
    some = has.any(axis=1)
    if w_star.any():
        assert weights[some].sum(axis=1) == pytest.approx(np.full(some.sum(), w_star.sum()))
    whole = has.all(axis=1) & w_star.any()
    assert np.array_equal(weights[whole], np.tile(w_star, (whole.sum(), 1)))  # to the bit


@pytest.mark.parametrize("order", ["C", "F"])
def test_whole_prompts_get_the_weights_themselves_however_many_and_however_stored(order):
    """Sums over another layout differ in their last bits."""
    for seed in range(20):
        w_star = np.random.default_rng(seed).random(50)
        assert np.array_equal(prompt_weights(w_star, np.ones((7, 50), bool, order=order)), np.tile(w_star, (7, 1)))


def test_proportions_are_kept_and_components_without_weight_count_alike_where_there_are_no_others():
    has = np.array([[True, True, False], [False, False, True]])
    assert prompt_weights(W_STAR, has) == pytest.approx(np.array([[0.625, 0.375, 0], [0, 0, 1]]))
    assert prompt_weights(np.array([1.0, 0, 0]), np.array([[False, True, True]])).tolist() == [[0, 0.5, 0.5]]


def test_an_answer_is_worth_what_search_says_and_full_marks_what_training_pays(tmp_path):
    class Short:
        w_star = tuple(W_STAR)

        def score(self, answer, row):
            return (len(answer) / 10, 1.0, None)

    problem = TaskProblem(Short(), {"prompt": "p"}, AnswerFormat(num_answers=1))
    vectors, has = np.array([[[[0.4, 1.0, 0.0]], [[1.0, 1.0, 0.0]]]]), np.array([[True, True, False]])
    found = prompt_curves(vectors, np.ones((1, 2, 1), bool), has, W_STAR)
    assert found.best[0, 0] == pytest.approx((problem.scalar((0.4, 1.0)) + problem.scalar((1.0, 1.0))) / 2)
    args = VPOConfig(
        str(tmp_path), use_cpu=True, bf16=False, report_to="none", per_device_train_batch_size=2, num_generations=2,
        num_answers=1,
    )  # fmt: skip
    paying = Payment(args)
    holes = torch.tensor(np.where(has[:, None, None], vectors, math.nan)[0], dtype=torch.float32)
    mask = torch.ones(2, 1, dtype=torch.bool)
    rewards, applies = applicable(holes, mask, 2)
    groups = paying.groups(rewards, mask, torch.tensor([5, 5]), torch.tensor(W_STAR), 2, 0, applies=applies)
    paid = paying.pay(groups).scores.view(1, 2)
    assert paid[0, 1].item() == pytest.approx(1.0) == found.best[0, 1] == found.expected[0, 1]


def test_a_look_weighs_a_prompt_by_the_components_that_it_has():
    row = {
        "prompt_id": "a", "prompt": "p", "completion": "x", "answers": ["x"], "rewards": [[1.0, None, 1.0]],
        "components": list("abc"), "metadata": "{}", "finish_reason": "stop", "completion_tokens": 1,
        "set_reward": 1.0, "epoch": 0.0,
    }  # fmt: skip
    look = look_at([(1, [row])], W_STAR, 1)
    assert look.best_at_1 == look.best_of_pool == pytest.approx(1.0)
