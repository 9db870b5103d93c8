"""DeepSpeed's ZeRO-3 on two real processes whose batches need different numbers of loops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.deepspeed_path import deepspeed_path  # noqa: F401
from tests.vpo.looped.sharded_run import POLICY, batch
from tests.vpo.looped.tiny_looped import build

ROOT = Path(__file__).parents[3]
LEARNING_RATE = 0.01


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.timeout(600)
def test_a_step_is_that_of_one_process_and_nobody_waits(deepspeed_path, tmp_path):  # noqa: F811
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "DS_BUILD_OPS": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(deepspeed_path)]),
    }
    script = str(Path(__file__).with_name("zero3_run.py"))
    done = subprocess.run(
        [*launcher, script, str(tmp_path), "together"], env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    together = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]

    reference = build(halt_gate=True).train()
    loss = torch.zeros(())
    for rank in range(2):
        ids, replay = batch(rank)
        logits = reference(ids, depth_policy=replay, use_cache=False).logits
        weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(rank))
        loss = loss + (logits * weight).sum() / 2
    loss.backward()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter -= LEARNING_RATE * parameter.grad
    reference.eval()
    for rank, facts in enumerate(together):
        for name, parameter in reference.named_parameters():
            assert torch.allclose(facts["after"][name], parameter, atol=1e-5), name
        with torch.no_grad():
            live = reference(batch(rank)[0], depth_policy=POLICY, use_cache=False)
        assert torch.equal(facts["depths"], live.loop_depths)
        assert torch.allclose(facts["logits"], live.logits, atol=1e-4)
