"""The same number of passes on every process, where sharded parameters demand it.

Under FSDP and ZeRO-3 each call of a layer gathers its parameters from all processes. Processes whose batches need
different numbers of loops would wait for one another forever, so they agree on the largest number, and one that is done
runs passes over a single inactive token. Replicated parameters (DDP) need none of that.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn


class Lockstep:
    """Agreement between processes; free of communication unless ``on``.

    Args:
        on: Whether parameters are sharded over several processes.
        device: Where the numbers that are exchanged live.
    """

    def __init__(self, on: bool, device: torch.device) -> None:
        self.on = on
        self.device = device

    @staticmethod
    def of(layers: nn.ModuleList, device: torch.device) -> Lockstep:
        """What these layers need."""
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        return Lockstep(several and _are_sharded(layers), device)

    def most(self, passes: int) -> int:
        """The largest ``passes`` of all processes."""
        if not self.on:
            return passes
        number = torch.tensor(passes, device=self.device)
        dist.all_reduce(number, op=dist.ReduceOp.MAX)
        return int(number)

    def any(self, unfinished: bool) -> bool:
        """Whether any process is unfinished."""
        return bool(self.most(int(unfinished)))


def _are_sharded(layers: nn.ModuleList) -> bool:
    from torch.distributed.fsdp import FullyShardedDataParallel

    # While a layer's own pre-forward hook has it gathered, an FSDP2 parameter is an ordinary tensor; at the time we
    # ask, between layers, it is a DTensor. DeepSpeed marks a partitioned parameter with an identifier; FSDP1 wraps.
    return any(isinstance(module, FullyShardedDataParallel) for module in layers.modules()) or any(
        hasattr(parameter, "placements") or hasattr(parameter, "ds_id") for parameter in layers.parameters()
    )
