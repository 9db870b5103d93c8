"""Started by torchrun in test_lockstep.py: an FSDP2-sharded looped model whose processes need different depths.

Writes what every process computed. ``alone`` as second argument switches the agreement off, which must not work;
``fsdp1`` as third one shards as accelerate does by default.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from tests.vpo.looped.tiny_looped import build, tokens
from vpo.looped import FixedPoint, RandomDepth, Replay
from vpo.looped.lockstep import Lockstep

POLICY = FixedPoint(tol=0.3, cap=8)
DEPTHS = {0: [1, 2, 1], 1: [5, 3, 4]}  # by rank and row


def batch(rank: int) -> tuple[torch.Tensor, Replay]:
    ids = tokens(3, 9, seed=10 + rank)
    return ids, Replay(torch.tensor(DEPTHS[rank])[:, None].expand(-1, 9).contiguous())


def shard(model, kind: str):
    if kind == "fsdp1":
        wrap = ModuleWrapPolicy({LlamaDecoderLayer})
        return FullyShardedDataParallel(
            model, auto_wrap_policy=wrap, device_id=torch.device("cpu"), use_orig_params=True
        )
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def gradients_of(model, kind: str) -> dict[str, torch.Tensor]:
    """Whole gradients by name; FSDP1 can gather them while it has the parameters whole."""
    if kind == "fsdp1":
        with FullyShardedDataParallel.summon_full_params(model, with_grads=True):
            found = {name: p.grad.clone() for name, p in model.module.named_parameters() if p.grad is not None}
        return {name.replace("_fsdp_wrapped_module.", ""): gradient for name, gradient in found.items()}
    return {name: p.grad.full_tensor() for name, p in model.named_parameters() if p.grad is not None}


def main(out: Path, agreement: str, kind: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60 if agreement == "together" else 15))
    rank = dist.get_rank()
    if agreement == "alone":
        Lockstep.of = staticmethod(lambda layers, device: Lockstep(False, device))
    facts: dict[str, object] = {"sharded": True}
    for checkpointing in (False, True):
        model = build(halt_gate=True).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        looped, model = model, shard(model, kind)
        assert Lockstep.of(looped.model.layers, torch.device("cpu")).on == (agreement == "together")
        ids, replay = batch(rank)
        result = model(ids, depth_policy=replay, use_cache=False)
        weight = torch.randn(result.logits.shape, generator=torch.Generator().manual_seed(rank))
        (result.logits * weight).sum().backward()
        facts[f"gradients-{checkpointing}"] = gradients_of(model, kind)
        facts[f"logits-{checkpointing}"] = result.logits.detach()
    model.eval()
    with torch.no_grad():
        live = model(ids, depth_policy=POLICY, use_cache=False)
        facts["live_logits"], facts["live_depths"] = live.logits, live.loop_depths
        options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "depth_policy": POLICY}
        if kind != "fsdp1":  # there a generation needs the parameters whole
            facts["generated"] = model.generate(ids, synced_gpus=True, **options)
    model.train()
    torch.manual_seed(rank)
    model(ids, depth_policy=RandomDepth(1, 3 + 3 * rank), labels=ids, use_cache=False).loss.backward()
    torch.save(facts, out / f"rank{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    assert os.environ["WORLD_SIZE"] == "2"
    main(Path(sys.argv[1]), *sys.argv[2:4])
