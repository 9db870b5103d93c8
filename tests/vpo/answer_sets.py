"""Answer sets of any shape, and how exactly scores must agree."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from vpo.weightings import Dirichlet

TOLERANCE = {"atol": 1e-12, "rtol": 1e-12}


@st.composite
def sets(draw, min_answers: int = 0, low: float = -1.0):
    """float64 rewards (N, M, D), mask (N, M) with at least ``min_answers`` True, weights (K, D) on the simplex."""
    n, m, d, k = (draw(st.integers(1, top)) for top in (4, 4, 4, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rewards = low + (1 - low) * torch.rand(n, m, d, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        rewards = (2 * rewards).round() / 2  # ties
    mask = torch.rand(n, m, generator=generator) < 0.7
    mask[:, :min_answers] = True
    return rewards, mask, Dirichlet(draw(st.sampled_from([0.3, 1.0]))).draw(k, d, draw(st.integers(0, 99))).double()
