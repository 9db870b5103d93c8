"""The metrics of answer sets against the evaluation's own, on pools with missing answers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics import pool_l1 as reference
from trainers.set_metrics import pool_l1, set_metrics


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
def test_pool_l1_is_the_evaluations_over_existing_answers(prompts, group, answers, dim, seed):
    draw = torch.Generator().manual_seed(seed)
    rewards = torch.rand(prompts * group, answers, dim, generator=draw)
    mask = torch.rand(prompts * group, answers, generator=draw) < 0.7
    pools = [
        part[kept].double().numpy()
        for part, kept in zip(rewards.split(group), mask.split(group), strict=True)
        if kept.sum() >= 2
    ]
    expected = sum(float(reference(pool)) for pool in pools) / len(pools) if pools else 0.0
    assert pool_l1(rewards, mask, group) == pytest.approx(expected, abs=1e-5)


def test_metrics_by_hand():
    rewards = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, True], [False, False]])
    assert set_metrics(rewards, mask, 2, ("a", "b")) == {
        "set/answers": 1.0,
        "set/parse_failure_rate": 0.5,
        "set/pool_l1": 2.0,
        "components/a/mean": 0.5,
        "components/b/mean": 0.5,
    }
    assert "components/a/mean" not in set_metrics(rewards, mask, 2, None)
