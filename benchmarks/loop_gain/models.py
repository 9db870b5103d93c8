"""The models that are compared: one core layer looped, with or without what lets a Parallel Loop Transformer loop fast.

All are the library's :class:`LoopedForCausalLM` of one prelude and one core layer. Two switches make a loop of it that
can run beside the others (Parallel Loop Transformer, PLT, arXiv 2510.24824, as in LoopCoder-v2, 2606.18023):

* *shift*: a loop's input at position i holds the state of the loop before at position i - 1, ``u_i = W [z_(i-1); e_i]``
  (nothing at the first position), so that all loops of a token run at once: they wait for the token before only;
* *frozen cache*: later loops read the keys and values of the first (``cache_planes=1``), one cache for any number.

Left out of PLT: the gate that mixes the frozen cache with a window of the loop's own keys and values, and a norm
between the loops (states keep the first loop's size instead, ``scale_control="match"``). The shift enters through a
learned map and not a sum.

Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from serial_depth.tasks import VOCABULARY
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig

from vpo.looped import DepthPolicy, FixedDepth, LoopedConfig, LoopedForCausalLM, RandomDepth
from vpo.looped.injection import ConcatInjection


@dataclass(frozen=True)
class Arm:
    """One way to build and train a model."""

    loops: int = 1  # in training; the cap if the depth is random
    is_random: bool = False
    shift: bool = False
    frozen: bool = False
    core_layers: int = 1
    width: float = 1.0  # relative to the others'
    updates: float = 1.0  # relative to the others'

    @property
    def policy(self) -> DepthPolicy:
        """The depths of its training."""
        return RandomDepth(1, self.loops) if self.is_random else FixedDepth(self.loops)

    @property
    def compute(self) -> float:
        """Passes through a layer that a token's training takes, over those of the one-loop model, at equal width."""
        loops = (1 + self.loops) / 2 if self.is_random else self.loops
        return self.updates * (1 + loops * self.core_layers) / 2


CAP = 4
ONE, RANDOM, SHIFT, FROZEN = "1 loop", "random depth", "4 loops, shift only", "4 loops, frozen cache only"
LONGER, NARROW = "1 loop, 2.5 times the updates", "4 layers unlooped, as many weights"
LOOPS = {ONE: Arm(1)} | {f"{n} loops": Arm(n) for n in range(2, CAP + 1)}
PLT = {f"PLT, {n} loops": Arm(n, shift=True, frozen=True) for n in range(2, CAP + 1)}
ARMS: dict[str, Arm] = {
    **LOOPS,
    RANDOM: Arm(CAP, is_random=True),
    **PLT,
    SHIFT: Arm(CAP, shift=True),
    FROZEN: Arm(CAP, frozen=True),
    LONGER: Arm(1, updates=2.5),
    NARROW: Arm(1, core_layers=3, width=0.75),
}


class ShiftedConcat(ConcatInjection):
    """``u_i = W [z_(i-1); e_i]``; the first position's state is zero.

    Whole sequences without padding only: with a cache the last state of the pass before would be needed.
    """

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        return super().forward(F.pad(state, (0, 0, 1, 0))[:, :-1], signal)


def new_model(arm: Arm, width: int, seed: int) -> LoopedForCausalLM:
    """The untrained model; arms of one shape start from the same weights."""
    width = round(arm.width * width)
    layers = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=1 + arm.core_layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        rope_theta=1000.0,
        initializer_range=0.1,
    )
    torch.manual_seed(seed)
    config = LoopedConfig(
        layer_config=layers,
        injection="concat",
        prelude_layers=1,
        core_layers=arm.core_layers,
        coda_layers=0,
        cache_planes=1 if arm.frozen else None,
    )
    model = LoopedForCausalLM(config)
    if arm.shift:
        shifted = ShiftedConcat(config.hidden_size, config.retention_init)
        shifted.load_state_dict(model.model.injection.state_dict())
        model.model.injection = shifted
    return model


def weights(model: LoopedForCausalLM, arm: Arm) -> int:
    """Parameters that its training uses: a model of one loop has no use for its injection."""
    return sum(p.numel() for name, p in model.named_parameters() if arm.loops > 1 or "injection" not in name)
