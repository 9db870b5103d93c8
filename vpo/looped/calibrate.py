"""Calibration: the tolerance at which halting early costs no more than the user allows.

A tolerance of the latent state says little about the output. Here the adaptive policy itself runs on held-out text at
every tolerance of a grid, and its next-token distributions are compared with those of the full depth, by
KL(p_exit || p_cap) in nats a token. The largest tolerance within the target is chosen.

What counts are the positions whose next-token distribution is read: of a plain text all of them, of a prompt and its
completion those that predict a token of the completion, from the prompt's last token on. The others run as well, as
what follows attends to them; what they would predict is nobody's concern, and there may be many more of them.

Shape letters: B sequences, T tokens, N positions that count, H width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vpo.looped.depth import DepthPolicy, FixedDepth, FixedPoint, HaltReason
from vpo.looped.influence import Batch, split_batch
from vpo.looped.pretrained import looped_policy

#: Half a power of ten apart or less, over all that was ever used: FPRM's is 0.1, Huginn's 0.03.
TOLERANCES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)

_CHUNK = 1 << 24  # logits at a time, 64 MiB in fp32; a few such arrays exist at once


@dataclass(frozen=True)
class CalibrationRow:
    """What one tolerance does.

    Args:
        tol: The tolerance.
        mean_depth: Loops a token, of those that count, as in all that follows.
        share_at_cap: Share of tokens that the cap stopped before they had settled.
        kl: Mean of KL(p_exit || p_cap) over tokens, in nats.
        kl_se: Its standard error with sequences as the sampling unit, for tokens of one text are not independent; NaN
            for a single sequence.
    """

    tol: float
    mean_depth: float
    share_at_cap: float
    kl: float
    kl_se: float


@dataclass(frozen=True)
class Calibration:
    """A tolerance, and the curve that it was chosen from.

    Args:
        tol: The largest tolerance whose KL is within the target.
        policy: The policy with this tolerance: ``model.depth_policy = calibration.policy``.
        target_kl: Nats a token that were allowed.
        curve: One row a tolerance, ascending.
        num_tokens: Tokens measured on, those that count.
        num_sequences: Sequences they are from.
    """

    tol: float
    policy: DepthPolicy
    target_kl: float
    curve: tuple[CalibrationRow, ...]
    num_tokens: int
    num_sequences: int


def calibrate(
    model: Any,
    batches: Iterable[Batch],
    target_kl: float,
    cap: int = 4,
    policy: Any = None,
    tols: Sequence[float] = TOLERANCES,
    progress: Callable[[], None] | None = None,
) -> Calibration:
    """Choose the largest tolerance whose outputs stay within ``target_kl`` of those at full depth.

    Args:
        model: A looped model; its own depth policy is left as it is.
        batches: Held-out text, tokenized. Padding does not count. With a ``completion_mask`` (B, T), 1 on the tokens of
            completions, predictions of those tokens count alone; see the module.
        target_kl: Nats a token, above 0; 0.01 is hard to see in samples.
        cap: Most loops, of the policy and of the depth it is compared with.
        policy: The rule to calibrate, with a field ``tol``; by default ``FixedPoint()``.
        tols: Tolerances to try.
        progress: Called after each forward pass: for each batch, one at full depth and one a tolerance.

    Returns:
        The tolerance, the policy with it, and the curve.

    Raises:
        ValueError: No tolerance reaches the target, an argument makes no sense, or the model is not looped.
    """
    looped = looped_policy(model)
    if looped is None or looped.get_output_embeddings() is None:
        raise ValueError(f"{type(model).__name__} is no looped language model: convert one first (vpo convert).")
    policies = _policies(FixedPoint() if policy is None else policy, cap, tols, target_kl)
    sums = [_Sums() for _ in policies]
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            ids, mask = split_batch(batch, model.device)
            counts = _counts(batch, ids, mask)
            _measure(looped, ids, mask, counts, cap, policies, sums, progress or (lambda: None))
    finally:
        model.train(was_training)
    if not sums[0].lengths:
        raise ValueError(
            "the batches hold no token that counts: expected held-out text, or completions behind their prompts. Check "
            "the file, the attention mask and the completion mask."
        )
    curve = tuple(each.row(policy.tol) for each, policy in zip(sums, policies, strict=True))
    within = [i for i, row in enumerate(curve) if row.kl <= target_kl]
    if not within:
        best = min(curve, key=lambda row: row.kl)
        raise ValueError(
            f"no tolerance keeps KL(p_exit || p_cap) within {target_kl:g} nats a token: the least is {best.kl:.3g} at "
            f"tol={best.tol:g}, mean depth {best.mean_depth:.2f} of {cap}. Try smaller tolerances, allow more "
            "(--target-kl), or train the model so that its states settle: heal it at random depths with "
            "HealingTrainer, with early_weight and consistency_weight above 0."
        )
    chosen = within[-1]
    return Calibration(
        tol=curve[chosen].tol,
        policy=policies[chosen],
        target_kl=target_kl,
        curve=curve,
        num_tokens=sum(sums[0].lengths),
        num_sequences=len(sums[0].lengths),
    )


class _Sums:
    """Running sums of one tolerance, by sequence."""

    def __init__(self) -> None:
        self.divergences: list[float] = []
        self.lengths: list[int] = []
        self.loops = 0
        self.capped = 0

    def row(self, tol: float) -> CalibrationRow:
        tokens, sequences = sum(self.lengths), len(self.lengths)
        mean = sum(self.divergences) / tokens
        # Standard error of a ratio of sums: long sequences weigh more, as they do in the mean.
        off = sum((kl - mean * length) ** 2 for kl, length in zip(self.divergences, self.lengths, strict=True))
        spread = math.sqrt(sequences / (sequences - 1) * off) / tokens if sequences > 1 else math.nan
        return CalibrationRow(tol, self.loops / tokens, self.capped / tokens, mean, spread)


def _policies(template: Any, cap: int, tols: Sequence[float], target_kl: float) -> list[Any]:
    if not target_kl > 0:
        raise ValueError(f"target_kl is {target_kl}: expected nats a token above 0, 0.01 for instance.")
    if not hasattr(template, "tol"):
        raise ValueError(
            f"{template} has no tolerance to calibrate: expected a policy with a field tol, as FixedPoint."
        )
    if not tols:
        raise ValueError("tols is empty: expected one tolerance at least.")
    return [replace(template, tol=tol, cap=cap) for tol in sorted(set(tols))]


def _counts(batch: Batch, ids: Tensor, mask: Tensor) -> Tensor:
    """(B, T) bool, the positions whose next-token distribution is read."""
    given = None if isinstance(batch, Tensor) else batch.get("completion_mask")
    if given is None:
        return mask
    completion = torch.as_tensor(given, device=ids.device).bool()
    if completion.shape != ids.shape:
        raise ValueError(
            f"a batch has input_ids of shape {tuple(ids.shape)} and a completion_mask of {tuple(completion.shape)}: "
            "expected the same (B, T) for both, 1 on tokens of completions."
        )
    counts = torch.zeros_like(mask)
    counts[:, :-1] = (completion & mask)[:, 1:]  # a token is predicted at the one before it
    return counts & mask


@torch.no_grad()
def _measure(
    model: Any,
    ids: Tensor,
    mask: Tensor,
    counts: Tensor,
    cap: int,
    policies: list[Any],
    sums: list[_Sums],
    done: Callable[[], None],
) -> None:
    """Run one batch at full depth and under every policy, and add up what counts."""
    rows = counts.sum(1).nonzero().squeeze(1)  # a row of nothing but padding is no sequence
    if not len(rows):
        return
    ids, mask, counts = ids[rows], mask[rows], counts[rows]
    inputs = {"input_ids": ids, "attention_mask": mask.long(), "use_cache": False}
    head = model.get_output_embeddings()

    def run(policy: Any) -> Any:
        output = model.base_model(**inputs, depth_policy=policy)
        done()
        return output

    full = run(FixedDepth(cap)).last_hidden_state[counts]  # (N, H)
    owner = torch.arange(len(ids), device=ids.device).unsqueeze(1).expand_as(ids)[counts]
    exits = []
    for policy, total in zip(policies, sums, strict=True):
        output = run(policy)
        exits.append(output.last_hidden_state[counts])
        total.loops += int(output.loop_depths[counts].sum())
        total.capped += int((output.loop_reasons[counts] == HaltReason.CAP).sum())
    divergences = torch.zeros(len(policies), len(ids), dtype=torch.float64, device=ids.device)
    step = max(1, _CHUNK // head.weight.shape[0])
    for start in range(0, len(full), step):
        part = slice(start, start + step)
        reference = head(full[part]).float().log_softmax(-1)
        for i, hidden in enumerate(exits):
            logprobs = head(hidden[part]).float().log_softmax(-1)
            kl = (logprobs.exp() * (logprobs - reference)).sum(-1)
            divergences[i].index_add_(0, owner[part], kl.double())
    for total, per_sequence in zip(sums, divergences.tolist(), strict=True):
        total.divergences += per_sequence
        total.lengths += counts.sum(1).tolist()
