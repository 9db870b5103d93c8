"""The machine in words: cores, and the GPUs that torch may use."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vpo.cli.hardware import hardware
from vpo.record.surroundings import cores, processor

H200 = ("NVIDIA H200", 141)
T4 = ("Tesla T4", 15)


@pytest.mark.parametrize(
    ("gpus", "has_mps", "said"),
    [
        ([], False, "no GPU"),
        ([H200], False, "NVIDIA H200 (141 GiB)"),
        ([H200] * 8, False, "8 x NVIDIA H200 (141 GiB)"),
        ([T4, H200, T4], True, "2 x Tesla T4 (15 GiB), NVIDIA H200 (141 GiB)"),
        ([], True, "Apple GPU (12 GiB of shared memory)"),
    ],
)
def test_the_gpus_that_torch_may_use_are_named(
    gpus: list, has_mps: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [SimpleNamespace(name=name, total_memory=size << 30) for name, size in gpus]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(known))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(known))
    monkeypatch.setattr(torch.cuda, "get_device_properties", known.__getitem__)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 << 30)
    assert hardware() == f"{cores()} CPU cores ({processor()}), {said}"
