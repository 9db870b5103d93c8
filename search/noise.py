"""Gumbel noise that is a function of (row seed, step, token): no generator, no state, no batch.

argmax(logits / T + gumbel) is an exact sample from softmax(logits / T) (Gumbel-max). Each row's noise comes from a
SplitMix64 stream (Steele, Lea, Flood 2014) that starts at a hash of (seed, step) and is indexed by token, so it does
not depend on batch mates or padding, and a CPU and a GPU hash to the same bits. Unlike inverse-CDF sampling with one
uniform per step, a rounding error in one logit changes the outcome only if that token was about to win or lose.
Letters: B rows, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_BITS = 40  # of the uniform: the largest noise is 41 ln 2 = 28.4, which lets a token of probability 1e-12 win


def gumbel_noise(seeds: Sequence[int], step: int, vocab_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Draw standard Gumbel noise.

    Args:
        seeds: B row seeds; the lowest 64 bits count.
        step: Number of the generated token, from 0.
        vocab_size: V.
        device: Where the noise is made.

    Returns:
        (B, V) float32, finite.
    """
    keys = torch.tensor([_signed(_mix((_mix(seed & _MASK) + step) & _MASK)) for seed in seeds], device=device)
    tokens = torch.arange(1, vocab_size + 1, dtype=torch.int64, device=device)
    bits = _mix_in_place(keys[:, None] + tokens[None, :] * _signed(_GAMMA))
    uniform = _shift(bits, 64 - _BITS).to(torch.float32).add_(0.5).mul_(2.0**-_BITS)
    # Small uniforms become large noise, and floats are densest near 0: that is the tail that wins
    exponential = uniform.clamp_(max=1 - 2.0**-24).neg_().log1p_().neg_()
    return exponential.log_().neg_()


def _mix(x: int) -> int:
    """SplitMix64's finaliser on a Python integer."""
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return x ^ (x >> 31)


def _mix_in_place(x: Tensor) -> Tensor:
    """The same on int64, whose products wrap around as unsigned ones do. In place: (B, V) integers are large."""
    x.bitwise_xor_(_shift(x, 30)).mul_(_signed(_MIX_1))
    x.bitwise_xor_(_shift(x, 27)).mul_(_signed(_MIX_2))
    return x.bitwise_xor_(_shift(x, 31))


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >= 1 << 63 else x
