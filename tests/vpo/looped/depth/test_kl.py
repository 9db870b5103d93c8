"""Halting by the output, against the definition on logits of every loop."""

from __future__ import annotations

import pytest
import torch

from tests.vpo.looped.tiny_looped import build, tokens
from vpo.looped import HaltReason, KLExit


@pytest.mark.parametrize("min_loops", [1, 4])
@torch.no_grad()
def test_the_first_token_leaves_when_one_more_loop_changes_its_distribution_little(min_loops):
    """A first token sees nobody else, so its distributions at fixed depths are those that it decides by."""
    model, ids = build().double(), tokens(12, 1)
    logps = [model(ids, num_loops=n, use_cache=False).logits[:, 0].log_softmax(-1) for n in range(1, 7)]
    kinds = set()
    for threshold in (0.1, 0.02, 0.005):
        policy = KLExit(threshold, cap=6, min_loops=min_loops)
        out = model(ids, depth_policy=policy, use_cache=False)
        for row in range(12):
            expected, reason = 6, HaltReason.CAP
            for loop in range(2, 7):
                now, before = logps[loop - 1][row], logps[loop - 2][row]
                change = (now.exp() * (now - before)).sum()  # KL(p_t || p_{t-1}), the new one first
                if loop >= min_loops and change < threshold:
                    expected, reason = loop, HaltReason.CONVERGED
                    break
            assert (out.loop_depths[row, 0], out.loop_reasons[row, 0]) == (expected, reason)
            kinds.add(expected)
    assert len(kinds) > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"threshold": 0.0}, "threshold is 0.0, expected nats above 0"), ({"cap": 1, "min_loops": 2}, "min_loops is 2")],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        KLExit(**settings)
