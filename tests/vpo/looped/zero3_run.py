"""Started by torchrun in test_zero3.py: one step of a looped model that ZeRO-3 has partitioned over two processes."""

from __future__ import annotations

import sys
from pathlib import Path

import deepspeed  # type: ignore[import-not-found] # installed for this process alone
import torch
import torch.distributed as dist

from tests.vpo.looped.sharded_run import POLICY, batch
from tests.vpo.looped.tiny_looped import build
from vpo.looped.lockstep import Lockstep

LEARNING_RATE = 0.01


def main(out: Path, agreement: str) -> None:
    torch.set_num_threads(1)
    deepspeed.init_distributed("gloo")
    rank = dist.get_rank()
    if agreement == "alone":
        Lockstep.of = staticmethod(lambda layers, device: Lockstep(False, device))
    model = build(halt_gate=True).train()
    settings = {
        "train_micro_batch_size_per_gpu": 3,
        "gradient_clipping": 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0, "overlap_comm": False},
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    engine = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)[0]
    assert Lockstep.of(engine.module.model.layers, torch.device("cpu")).on == (agreement == "together")
    ids, replay = batch(rank)
    logits = engine(ids, depth_policy=replay, use_cache=False).logits
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(rank))
    engine.backward((logits * weight).sum())
    engine.step()
    with deepspeed.zero.GatheredParameters(list(engine.module.parameters())):
        after = {name: p.detach().clone() for name, p in engine.module.named_parameters()}
    engine.eval()
    with torch.no_grad():
        live = engine(ids, depth_policy=POLICY, use_cache=False)
    torch.save({"after": after, "depths": live.loop_depths, "logits": live.logits}, out / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
