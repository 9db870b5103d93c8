from __future__ import annotations

import pytest
import torch


@pytest.fixture
def lively_policy(make_policy):
    """Weights so large that loops differ: at the default initialisation every depth looks alike."""

    def make(halt_gate: bool = True):
        policy = make_policy(halt_gate=halt_gate)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        return policy

    return make
