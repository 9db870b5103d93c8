"""Policies on the same prompts: figures against direct computation, paired intervals, the page's numbers."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.bootstrap import paired_difference
from eval.comparison import crossed_band, paired, read_policy
from eval.hypervolume import pool_hypervolume
from eval.metrics import best_at_k_sets, expected_best_at_k, pool_l1, simplex_weightings
from eval.report.comparison import Cell, Difference, Wording, write_comparison
from eval.rollouts import RolloutLogError
from tests.eval.comparison_example import ARMS, METRICS, example_comparison
from tests.eval.test_rollouts import row
from trainers.rollout_log import RolloutLog
from vpo.objective.set_reward import hypervolume

# --- hypervolume ---


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6))
def test_the_volume_of_a_pool_is_that_of_inclusion_and_exclusion(answers, dim, seed):
    rewards = np.random.default_rng(seed).random((3, answers, dim)).round(1)  # zeros and ties among them
    expected = hypervolume(torch.from_numpy(rewards)).numpy()
    assert pool_hypervolume(rewards) == pytest.approx(expected, abs=1e-9)


def test_with_many_components_the_volume_is_close_to_that_of_inclusion_and_exclusion():
    rewards = np.random.default_rng(0).random((2, 6, 10)) * 0.4 + 0.6
    assert pool_hypervolume(rewards) == pytest.approx(hypervolume(torch.from_numpy(rewards)).numpy(), rel=0.02)


def test_an_empty_pool_and_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"rewards has shape \(0, 2\)"):
        pool_hypervolume(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="all finite"):
        pool_hypervolume([[np.nan]])


# --- reading ---


def log(folder, rewards, answers="abcdefgh", numbers=None):
    """(P, C, M, D) rewards as an evaluation's log, prompts in any order, one file for each of two batches."""
    writer = RolloutLog(folder, 0)
    rows = []
    for p, completions in enumerate(rewards):
        for vectors in completions:
            given = [[None if v is None or np.isnan(v) else float(v) for v in vector] for vector in vectors]
            number = p if numbers is None else numbers[p]
            rows.append(
                row(
                    answers=list(answers[: len(given)]),
                    rewards=given,
                    metadata=json.dumps({"prompt_number": number}),
                    completion_tokens=6,
                )
            )
    order = np.random.default_rng(1).permutation(len(rows))
    writer.write(0, 0, [rows[i] for i in order[::2]])
    writer.write(0, 1, [rows[i] for i in order[1::2]])
    return folder


def test_figures_are_those_of_the_metrics_prompt_by_prompt(tmp_path):
    rewards = np.random.default_rng(0).random((4, 3, 2, 3))
    found = read_policy(log(tmp_path, rewards), 2, [0.5, 0.3, 0.2], 3)
    utilities = rewards @ np.array([0.5, 0.3, 0.2])
    for k in (1, 2, 5, 6):
        # Completions come in any order; the metrics do not depend on it.
        assert found.best[:, k - 1] == pytest.approx(best_at_k_sets(utilities, k))
        expected = expected_best_at_k(rewards, simplex_weightings(100, 3), k)
        assert found.expected[:, k - 1] == pytest.approx(expected)
    assert found.pool_l1 == pytest.approx(pool_l1(rewards.reshape(4, 6, 3)))
    assert found.hypervolume == pytest.approx(pool_hypervolume(rewards.reshape(4, 6, 3)))
    assert found.distinct.tolist() == [2.0] * 4
    assert found.tokens_per_answer == 3.0
    assert found.answers == 1.0
    assert not found.passed.any()


def test_missing_answers_are_worth_nothing_and_missing_components_are_left_out(tmp_path):
    rewards = [[[[1.0, None]], [[0.5, None], [1.0, None]]], [[], [[0.0, 1.0]]]]
    found = read_policy(log(tmp_path, rewards), 2, None, 2)
    assert found.best[0, 3] == 1.0  # full marks in the one component that applies are worth as much as in two
    assert found.passed[0, 3] == 1.0
    assert found.expected[0, 3] == pytest.approx(1.0)
    assert found.best[1].tolist() == pytest.approx([0.25, 0.25, 0.5, 0.5])
    assert found.passed[1].tolist() == [0.0] * 4
    assert found.answers == 4 / 8
    assert np.isnan(found.pool_l1[1])


def test_logs_that_cannot_be_paired_are_refused(tmp_path):
    rewards = np.ones((2, 2, 1, 1))
    with pytest.raises(RolloutLogError, match="completions of different prompts"):
        read_policy(log(tmp_path / "a", [rewards[0], rewards[1][:1]]), 1, None, 1)
    writer = RolloutLog(tmp_path / "b", 0)
    writer.write(0, 0, [row()])
    with pytest.raises(RolloutLogError, match="prompts without a number"):
        read_policy(tmp_path / "b", 2, None, 2)
    with pytest.raises(ValueError, match=r"w\* has 2 weights for 1 components"):
        read_policy(log(tmp_path / "c", rewards), 1, [0.5, 0.5], 1)


# --- paired differences ---


def test_a_shift_is_found_however_different_prompts_and_seeds_are():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(5, 1)) + rng.normal(size=(1, 40))
    a, b = (shared + shift + 0.05 * rng.normal(size=shared.shape) for shift in (0.3, 0.0))
    found = paired(a, b)
    assert found.mean == pytest.approx(0.3, abs=0.03)
    assert 0.2 < found.lo < found.mean < found.hi < 0.4


def test_few_seeds_that_disagree_leave_the_difference_open_however_many_prompts_there_are():
    by_seed = np.array([0.3, -0.2, 0.1])[:, None] + np.zeros((1, 500))
    found = paired(by_seed, np.zeros((3, 500)))
    assert found.lo < 0 < found.hi
    assert paired_difference(by_seed.mean(0), np.zeros(500)).lo > 0  # prompts alone would be sure


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    inside = 0
    for trial in range(150):
        a = rng.normal(size=(8, 1)) * 0.2 + rng.normal(size=(1, 30)) * 0.2 + rng.normal(size=(8, 30)) * 0.2
        found = paired(a, np.zeros((8, 30)), num=400, seed=trial)
        inside += found.lo <= 0 <= found.hi
    assert 0.85 <= inside / 150 <= 0.99


def test_one_seed_resamples_prompts_and_shapes_must_agree():
    a, b = np.random.default_rng(0).random((2, 1, 30))
    assert paired(a, b) == paired_difference(a[0], b[0], 2000)
    with pytest.raises(ValueError, match=r"a is \(1, 30\) and b \(2, 30\)"):
        paired(a, np.ones((2, 30)))


def test_the_band_of_a_curve_is_the_interval_at_each_of_its_positions():
    values = np.random.default_rng(0).random((3, 20, 4))
    band = crossed_band(values)
    for t in range(4):
        found = paired(values[..., t], np.zeros((3, 20)))
        assert (band.mean[t], band.lo[t], band.hi[t]) == pytest.approx((found.mean, found.lo, found.hi))
    with pytest.raises(ValueError, match=r"values is \(3, 20\): expected \(S, P, T\)"):
        crossed_band(values[..., 0])


# --- the page ---


def test_the_page_holds_every_figure_and_nothing_as_markup(tmp_path):
    report = example_comparison()
    write_comparison(report, tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text()
    assert "<script>window.broken" not in page
    assert "401,337" in page
    for arm in ARMS[:-1]:
        for name in METRICS:
            assert report.table[arm][name].text in page
    numbers = json.loads((tmp_path / "comparison.json").read_text())
    assert numbers["table"]["vpo"]["best@1"]["mean"] == report.table["vpo"]["best@1"].mean
    assert [each["title"] for each in numbers["charts"]] == ["Fixed taste w*: best@k", "The same, by tokens"]
    assert numbers["differences"][4]["lo"] is None


def test_numbers_are_printed_with_what_is_known_of_their_error():
    assert Cell(0.5).text == "0.500"
    assert Cell(0.5, 0.0123).text == "0.500 ± 0.012"
    assert Cell(123.456, 2.0).text == "123.5 ± 2.0"
    assert Cell(float("nan")).text == "–"
    assert Difference("a", "b", "m", 0.1, 0.05, 0.2).is_clear
    assert not Difference("a", "b", "m", 0.1, -0.05, 0.2).is_clear
    assert Difference("a", "b", "m", 0.1, float("nan"), float("nan")).text == "+0.100"
    assert Difference("a", "b", "m", -0.0001, -0.02, 0.02, 0.25).text == "+0.000 [-0.020, +0.020] p = 0.250"
    assert Difference("a", "b", "m", 0.1, 0.05, 0.2, 1e-5).text == "+0.100 [+0.050, +0.200] p < 0.001"
    assert Cell(None, instead="> 1,200").text == "> 1,200"


def test_one_arm_may_be_held_against_several_and_the_page_says_what_it_is_told(tmp_path):
    report = example_comparison()
    twice = [Difference("vpo", against, "best@1", 0.123, 0.1, 0.2) for against in ("grpo", "base")]
    changed = dataclasses.replace(report, differences=twice, findings=["vpo lies above grpo < base"])
    wording = Wording(eyebrow="Something else", row="policy", column_notes={"best@1": "one draw"})
    write_comparison(changed, tmp_path / "page.html", wording)
    page = (tmp_path / "page.html").read_text()
    assert page.count('<span class=clear><span class="part">+0.123</span> <span class="part">[+0.100, +0.200]') == 2
    for words in ("Something else", ">policy</th>", 'title="one draw"', "vpo lies above grpo &lt; base"):
        assert words in page
