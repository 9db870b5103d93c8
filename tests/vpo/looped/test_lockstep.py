"""Two real processes with sharded parameters and batches that need different loops: no hang, and the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.vpo.looped.sharded_run import POLICY, batch
from tests.vpo.looped.tiny_looped import build

ROOT = Path(__file__).parents[3]


def run(folder: Path, agreement: str, kind: str = "fsdp2") -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = str(Path(__file__).with_name("sharded_run.py"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*launcher, script, str(folder), agreement, kind], env=environment, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module", params=["fsdp2", pytest.param("fsdp1", marks=pytest.mark.slow)])
def together(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    done = run(folder, "together", request.param)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.distributed
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_of_sharded_processes_are_those_of_one_process(together, checkpointing):
    reference = build(halt_gate=True).train()
    loss = torch.zeros(())
    for rank in range(2):
        ids, replay = batch(rank)
        logits = reference(ids, depth_policy=replay, use_cache=False).logits
        assert torch.allclose(together[rank][f"logits-{checkpointing}"], logits, atol=1e-5)
        weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(rank))
        loss = loss + (logits * weight).sum() / 2  # FSDP averages over processes
    loss.backward()
    for facts in together:
        gradients = facts[f"gradients-{checkpointing}"]
        assert gradients.keys() == {name for name, _ in reference.named_parameters()}
        for name, parameter in reference.named_parameters():
            assert torch.allclose(gradients[name], parameter.grad, atol=1e-4, rtol=1e-4), name


@pytest.mark.distributed
@torch.no_grad()
def test_tokens_halt_where_they_would_alone(together):
    reference = build(halt_gate=True)
    for rank, facts in enumerate(together):
        ids, _ = batch(rank)
        live = reference(ids, depth_policy=POLICY, use_cache=False)
        assert torch.equal(facts["live_depths"], live.loop_depths)
        assert torch.allclose(facts["live_logits"], live.logits, atol=1e-5)
        options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "depth_policy": POLICY}
        if "generated" in facts:
            assert torch.equal(facts["generated"], reference.generate(ids, **options))


@pytest.mark.slow
@pytest.mark.distributed
def test_without_the_agreement_processes_wait_for_one_another(tmp_path):
    """The tests above can fail: the process with fewer loops moves on, and the collectives no longer match."""
    done = run(tmp_path, "alone")
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.pt"))
