"""The looped block of the laboratory, which sees its input both ways, and the loop that a depth policy stops.

The library's model is a causal decoder with ordinary residuals. FPRM's recipe (arXiv 2606.18206) has coupled residual
scales: with L layers of two sublayers, ``u = a2 z + b2 x``, then ``u <- a1 u + b1 Sub(norm(u))`` for each of the 2L,
with ``b2 = 1 - a2 a1^(2L)`` and ``b1 = b2 (1 - a1) / (1 - a1^(2L))``, which bounds the iterates whatever the weights
are. ``a1`` and ``a2`` are sigmoids of a parameter a channel, .75 and .25 at first. The other wirings are those of the
baselines: ``"plain"`` adds input and sublayers, ``"post"`` norms after each addition (TRM, 2510.04871).

An instance is one thing: it stops as a whole, when the policy would stop all its tokens. The policy is the library's,
and so is what it does to the state (damping, ACT's mean).

Shape letters: B instances, T tokens, H width, V answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from halting.tasks import HEADS, UNLABELLED, Batch, Task
from torch import Tensor, nn
from torch.nn import functional as F

from vpo.looped import DepthPolicy
from vpo.looped.depth import LoopCall, LoopStep

LAYERS = 2
Wiring = Literal["coupled", "plain", "post"]


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, hidden: Tensor, sees: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        q, k, v = self.into(hidden).view(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        # On a CPU and with a mask, twice as fast as scaled_dot_product_attention.
        scores = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(~sees, -torch.inf)
        mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Gated(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, 4 * width, bias=False), nn.Linear(2 * width, width, bias=False)

    def forward(self, hidden: Tensor, sees: Tensor) -> Tensor:
        gate, value = self.into(hidden).chunk(2, -1)
        return self.out(F.silu(gate) * value)


def norm(hidden: Tensor) -> Tensor:
    return F.rms_norm(hidden, hidden.shape[-1:])


class Block(nn.Module):
    """Embedding, shared layers, read-out, and a halting gate on the mean over the instance's tokens."""

    def __init__(self, task: Task, width: int, wiring: Wiring = "coupled") -> None:
        super().__init__()
        self.wiring, self.width = wiring, width
        self.embed = nn.Embedding(task.vocabulary, width)
        self.subs = nn.ModuleList([kind(width) for _ in range(LAYERS) for kind in (Attention, Gated)])
        self.head = nn.Linear(width, task.answers, bias=False)
        self.gate = nn.Linear(width, 1)
        self.scales = nn.Parameter(torch.logit(torch.tensor([0.75, 0.25]))[:, None].repeat(1, width))
        nn.init.constant_(self.gate.bias, -3.0)  # at first it goes on: a gate that starts open ends at two loops
        nn.init.zeros_(self.gate.weight)

    def signal(self, ids: Tensor) -> Tensor:
        return norm(self.embed(ids))

    def step(self, state: Tensor, signal: Tensor, sees: Tensor) -> Tensor:
        """One loop."""
        if self.wiring == "coupled":
            a1, a2 = self.scales.sigmoid()
            all_subs = a1 ** len(self.subs)
            b2 = 1 - a2 * all_subs
            b1 = b2 * (1 - a1) / (1 - all_subs)
            hidden = a2 * state + b2 * signal
            for sub in self.subs:
                hidden = a1 * hidden + b1 * sub(norm(hidden), sees)
            return hidden
        hidden = state + signal
        for sub in self.subs:
            hidden = norm(hidden + sub(hidden, sees)) if self.wiring == "post" else hidden + sub(norm(hidden), sees)
        return norm(hidden) if self.wiring == "plain" else hidden

    def read(self, state: Tensor) -> Tensor:
        """(B, T, V) logits."""
        return self.head(norm(state))

    def gate_logits(self, state: Tensor) -> Tensor:
        """(B,) of the instances."""
        return self.gate(norm(state).mean(1)).squeeze(-1)


def nats(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) mean cross-entropy over each instance's labelled tokens."""
    each = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=UNLABELLED, reduction="none")
    return each.sum(1) / (labels != UNLABELLED).sum(1)


def is_right(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) bool: every labelled token is."""
    return ((logits.argmax(-1) == labels) | (labels == UNLABELLED)).all(1)


def states(model: Block, batch: Batch, sees: Tensor, loops: int, state: Tensor | None = None) -> Iterator[Tensor]:
    """States (B, T, H) after each of ``loops`` loops, from ``state`` or from zero."""
    signal = model.signal(batch.ids)
    state = torch.zeros_like(signal) if state is None else state
    for _ in range(loops):
        state = model.step(state, signal, sees)
        yield state


@dataclass
class Outcome:
    state: Tensor  # (B, T, H) what is read out
    depth: Tensor  # (B,)
    reason: Tensor  # (B,) a HaltReason
    remainder: Tensor | None  # (B,) of ACT, with gradient


def run(model: Block, batch: Batch, sees: Tensor, policy: DepthPolicy) -> Outcome:
    """Loop every instance until ``policy`` would stop all its tokens.

    The residual of an instance is the largest of its tokens (FPRM), and its gate one for all of them.
    """
    rows, length = batch.ids.shape
    signal, everywhere = model.signal(batch.ids), torch.ones(rows, length, dtype=torch.bool)
    halter = policy.start(LoopCall(everywhere, torch.zeros(rows, dtype=torch.long)))
    state, active = torch.zeros_like(signal), everywhere
    depth, reason = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, dtype=torch.int8)

    def gate(state: Tensor) -> Tensor:
        return model.gate_logits(state)[:, None].expand(rows, length)

    for loop in range(policy.cap):
        new = torch.where(active.unsqueeze(-1), model.step(state, signal, sees), state)
        residual = halter.measure(state, new).amax(1, keepdim=True).expand(rows, length)
        step = LoopStep(loop, state, new, active, loop + 1 == policy.cap, gate, model.read)
        stop, why = halter.decide(step, residual)
        whole = (stop.all(1, keepdim=True) | torch.tensor(step.is_last)).expand(rows, length)
        following = halter.state(step, whole)
        state = torch.where(active.unsqueeze(-1), following, state)
        ended = active[:, 0] & whole[:, 0]
        why = torch.as_tensor(why, dtype=torch.int8).expand(rows, length)[:, 0]
        reason = torch.where(ended & stop.all(1), why, reason)
        depth = torch.where(active[:, 0], loop + 1, depth)
        active = active & ~whole
        if not active.any():
            break
    remainder = getattr(halter, "remainder", None)
    return Outcome(state, depth, reason, None if remainder is None else remainder[:, 0])
