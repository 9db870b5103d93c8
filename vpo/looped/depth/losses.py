"""Losses that teach a halting gate, given the loss after every loop and the gate's logits.

Shape letters: R loops, B sequences, T tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def exit_distribution(gate_logits: Tensor) -> Tensor:
    """Probability of leaving after each loop: p(t) = h_t prod_{s<t} (1 - h_s), the last loop taking what is left.

    Args:
        gate_logits: (R, B, T), ``h = sigmoid(logits)``.

    Returns:
        (R, B, T), summing to 1 over the loops (Ouro, 2510.25741).
    """
    stay = F.logsigmoid(-gate_logits).cumsum(0)  # log prod_{s<=t} (1 - h_s)
    before = torch.cat([torch.zeros_like(stay[:1]), stay[:-1]])
    leave = torch.cat([F.logsigmoid(gate_logits[:-1]), torch.zeros_like(gate_logits[:1])])
    return (before + leave).exp()


def expected_loss(loop_losses: Tensor, gate_logits: Tensor, mask: Tensor, beta: float = 0.1) -> Tensor:
    """Expected loss under the exit distribution, minus ``beta`` times its entropy: gate and model learn together.

    Ouro's first stage (2510.25741): the bound for a uniform prior over depths. With ``beta`` 0 the gate soon leaves
    always at the same loop.

    Args:
        loop_losses: (R, B, T) loss of each token after each loop.
        gate_logits: (R, B, T).
        mask: (B, T) tokens that count.
        beta: Weight of the entropy, 0 or more.

    Returns:
        Mean over the tokens of ``mask``.
    """
    share = exit_distribution(gate_logits)
    entropy = -(share * share.clamp(min=1e-12).log()).sum(0)
    return _mean((share * loop_losses).sum(0) - beta * entropy, mask)


def pondering_loss(
    loop_losses: Tensor, gate_logits: Tensor, mask: Tensor, beta: float = 0.01, prior: float = 0.2
) -> Tensor:
    """Expected loss plus ``beta`` times KL(exits || geometric prior): PonderNet (Banino et al., 2107.05407).

    The prior pulls towards about ``1 / prior`` loops, where the entropy of :func:`expected_loss` pulls towards all
    depths alike. PonderNet leaves by a throw of the gate; deterministic halting (``LearnedGate``) reads the same gate.

    Args:
        loop_losses: (R, B, T) loss of each token after each loop.
        gate_logits: (R, B, T).
        mask: (B, T) tokens that count.
        beta: Weight of the divergence, 0 or more.
        prior: Chance of leaving at each loop under the prior, in (0, 1); cut off after R loops and renormalized.

    Returns:
        Mean over the tokens of ``mask``.

    Raises:
        ValueError: ``prior`` is out of its range.
    """
    if not 0 < prior < 1:
        raise ValueError(f"prior is {prior}: expected a chance strictly between 0 and 1, 1 over the loops to expect.")
    share = exit_distribution(gate_logits)
    loops = torch.arange(len(share), device=share.device, dtype=share.dtype)
    geometric = (loops * math.log1p(-prior)).log_softmax(0).view(-1, 1, 1)
    divergence = (share * (share.clamp(min=1e-12).log() - geometric)).sum(0)
    return _mean((share * loop_losses).sum(0) + beta * divergence, mask)


def improvement_loss(
    loop_losses: Tensor, gate_logits: Tensor, mask: Tensor, slope: float = 50.0, threshold: float = 0.005
) -> Tensor:
    """Teach the gate to go on while another loop helps; for a model that is frozen.

    Ouro's second stage: with I_t = max(0, L_{t-1} - L_t), the gate after loop t-1 should go on with probability
    ``sigmoid(slope * (I_t - threshold))``. The last loop has no successor and is not trained.

    Args:
        loop_losses: (R, B, T), detached.
        gate_logits: (R, B, T).
        mask: (B, T) tokens that count.
        slope: How sharply improvement turns into going on.
        threshold: Nats of improvement worth one loop.

    Returns:
        Mean binary cross-entropy.
    """
    gain = (loop_losses[:-1] - loop_losses[1:]).clamp(min=0)
    go_on = torch.sigmoid(slope * (gain - threshold))
    each = F.binary_cross_entropy_with_logits(gate_logits[:-1], 1 - go_on.detach(), reduction="none")
    return _mean(each.mean(0), mask)


def gate_entropy(gate_logits: Tensor, mask: Tensor) -> Tensor:
    """Mean binary entropy of the gate, in nats; LoopWM (2606.18208) adds it so that the gate does not saturate.

    Args:
        gate_logits: (R, B, T).
        mask: (B, T) tokens that count.
    """
    halt = torch.sigmoid(gate_logits)
    return _mean((-halt * F.logsigmoid(gate_logits) - (1 - halt) * F.logsigmoid(-gate_logits)).mean(0), mask)


def ponder_cost(depths: Tensor, remainders: Tensor, mask: Tensor) -> Tensor:
    """Graves' ponder cost (1603.08983), the mean of loops plus remainder; its gradient is that of the remainder.

    Args:
        depths: (B, T) loops that were run.
        remainders: (B, T) halting mass that was left for the last of them, with gradient.
        mask: (B, T) tokens that count.
    """
    return _mean(depths + remainders, mask)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
