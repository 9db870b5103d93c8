"""The depth report: what each loop of a model does and buys on given text, and what follows from it.

Shape letters: R loops, S sequences, N tokens, K stopping rules (the tolerances, then the model's own).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eval.depth.batches import PassageBatch
from eval.depth.collect import Collected, Plan, collect
from eval.depth.groups import QUARTERS, depth_groups, in_order, position_names, quarter_names
from eval.depth.oracle import best_shares, oracle_depth, rank_correlation, regret
from eval.depth.overflow import overflow
from eval.depth.probe import DepthProbe
from eval.depth.record import (
    AdviceRecord,
    ChoiceRecord,
    DepthReport,
    GroupRecord,
    JacobianRecord,
    Series,
    SweetSpotRecord,
    ToleranceRecord,
    numbers,
)
from eval.depth.sweet_spot import Means, SweetSpot, by_sequence, step_gains, sweet_spot, token_means
from eval.depth.verdict import advise
from eval.report.data import finite, require_title
from vpo.looped.stability import findings

Array = NDArray[np.float64]

_SETTLED = (
    0.05  # residual, FixedPoint's default; a calibrated tolerance above it says what costs little, not what rests
)
_UNSAID = "not said"
_MOST_KINDS = 12  # formats and difficulties that a chart can show


def measure_depth(
    probe: DepthProbe,
    batches: Sequence[PassageBatch],
    plan: Plan,
    *,
    title: str = "Depth report",
    model: str = "",
    is_task: bool = False,
    progress: Callable[[str], None] = lambda what: None,
) -> DepthReport:
    """Measure a looped model.

    Args:
        probe: The model, from :func:`~eval.depth.mappings.probe_of`.
        batches: What it is measured on.
        plan: How.
        title: Heading of the report.
        model: Its name.
        is_task: Whether the passages are answers, so that "every prediction of a passage is right" means something.
        progress: Called with what is about to be done.

    Returns:
        The report; ``command``, ``created``, ``hardware``, ``data`` and the costs are for the caller to fill in.

    Raises:
        ValueError: There is no batch, fewer loops are asked for than the model was trained with, or a state overflows
            before the second loop is through. A later overflow is a finding, and the loops before it are reported.
    """
    require_title(title)  # before minutes of measuring
    if probe.trained_loops > plan.loops:
        raise ValueError(
            f"loops is {plan.loops}, but the model was trained with {probe.trained_loops} and may choose as many: run "
            f"at least those (--loops {probe.trained_loops})."
        )
    raw = collect(probe, batches, plan, progress)
    if (lost := overflow(raw)) is not None:
        plan = plan.up_to(lost.sound)
        raw = collect(probe, batches, plan, progress)
    progress("intervals")
    losses = raw.loops.cross_entropy.numpy()
    sums, counts = _by_sequence(raw, losses)
    spot = sweet_spot(sums, counts, plan.slack, plan.draws, seed=plan.seed)
    tolerances = _tolerances(raw, plan)
    within = [row for row in tolerances if row.kl <= plan.target_kl]
    chosen = within[-1] if within else None
    choices, shown = _choices(probe, raw, plan, spot, None if chosen is None else chosen.tol)
    last = raw.local[-1] if raw.local else None
    per_loop = {
        **raw.per_loop,
        "finite": raw.per_loop["finite"] if lost is None else [1 - lost.share],
        "cross_entropy": losses.mean(1).tolist(),
        "kl": raw.loops.kl_previous.mean(1).tolist(),
    }
    seen = findings(
        per_loop,
        tol=_SETTLED if chosen is None else min(_SETTLED, chosen.tol),
        trained_loops=probe.trained_loops,
        contraction=raw.contraction,
        radius=math.nan if last is None else last.radius,
        norm=math.nan if last is None else last.norm,
        step_size=math.nan if last is None else last.step_size,
    )
    advice = advise(
        seen,
        spot,
        cap=plan.cap,
        loops=plan.loops,
        trained_loops=probe.trained_loops,
        halting=None if chosen is None else (chosen.tol, chosen.mean_depth),
        step_size=math.nan if last is None else last.step_size,
        settings=probe.settings,
    )
    return DepthReport(
        title=title,
        model=model,
        make=probe.kind,
        command="",
        created="",
        hardware="",
        data="",
        versions={},
        loops=plan.loops,
        cap=plan.cap,
        trained_loops=probe.trained_loops,
        num_sequences=len(counts),
        num_tokens=losses.shape[1],
        series=_series(raw, plan),
        step_gains=_with_interval(step_gains(sums, counts, plan.draws, seed=plan.seed)),
        sweet_spot=SweetSpotRecord(
            spot.loop, spot.lo, spot.hi, finite(spot.agreement), float(spot.slack), spot.is_last
        ),
        solved=_solved(raw, plan) if is_task else None,
        jacobian=[JacobianRecord(each.loop, *numbers(list(asdict(each).values())[1:])) for each in raw.local],
        tolerances=tolerances,
        chosen_tol=None if chosen is None else chosen.tol,
        target_kl=plan.target_kl,
        choices=choices,
        groups={} if shown is None else _groups(raw, shown),
        advice=[AdviceRecord(each.kind, each.text, each.settings) for each in advice],
        notes=[*([] if lost is None else [lost.text]), *probe.notes, *_notes(raw, plan, chosen is None, len(counts))],
    )


def _by_sequence(raw: Collected, values: Array | Tensor) -> tuple[Array, Array]:
    return by_sequence(values, raw.owner, len(raw.kinds))


def _series(raw: Collected, plan: Plan) -> dict[str, Series]:
    """Every quantity by loop: with an interval where it has a value for each token."""
    tokens = {
        "cross_entropy": raw.loops.cross_entropy,
        "accuracy": raw.loops.correct,
        "kl_previous": raw.loops.kl_previous,
        "kl_capped": raw.loops.kl_capped,
        **raw.by_token,
    }
    made = {name: _interval(raw, values.numpy(), plan) for name, values in tokens.items()}
    rest = {name: Series(numbers(values)) for name, values in raw.per_loop.items() if name not in made}
    return made | rest


def _interval(raw: Collected, values: Array, plan: Plan) -> Series:
    """Loops that have a number for every token get an interval; where some tokens have none, the mean of the others."""
    known = np.isfinite(values).all(axis=1)
    with np.errstate(invalid="ignore"):
        counts = np.isfinite(values).sum(axis=1)
        mean = np.where(counts > 0, np.nansum(np.where(np.isfinite(values), values, 0), axis=1) / counts, np.nan)
    lo, hi = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    if known.any():
        made = token_means(*_by_sequence(raw, values[known]), plan.draws, seed=plan.seed)
        lo[known], hi[known] = made.lo, made.hi
    return _with_interval(Means(mean, lo, hi))


def _with_interval(means: Means) -> Series:
    return Series(numbers(list(means.mean)), numbers(list(means.lo)), numbers(list(means.hi)))


def _solved(raw: Collected, plan: Plan) -> Series:
    """Share of passages without a wrong prediction: greedy decoding would have given the reference, token by token."""
    right, counts = _by_sequence(raw, raw.loops.correct)
    whole = (right == counts[:, None]).astype(np.float64)
    return _with_interval(token_means(whole, np.ones(len(whole)), plan.draws, seed=plan.seed))


def _tolerances(raw: Collected, plan: Plan) -> list[ToleranceRecord]:
    usable = [k for k in _usable(raw) if k < len(plan.tols)]
    if not usable:
        return []
    sums, counts = _by_sequence(raw, raw.rules.kl_capped[usable])
    kl = token_means(sums, counts, plan.draws, seed=plan.seed)
    means = {
        "mean_depth": raw.depths.double().mean(1),
        "share_at_cap": raw.capped.double().mean(1),
        "cross_entropy": raw.rules.cross_entropy.mean(1),
        "accuracy": raw.rules.correct.mean(1),
    }
    return [
        ToleranceRecord(
            tol=float(plan.tols[k]),
            kl=float(kl.mean[i]),
            kl_lo=finite(kl.lo[i]),
            kl_hi=finite(kl.hi[i]),
            **{name: float(values[k]) for name, values in means.items()},
        )
        for i, k in enumerate(usable)
    ]


def _usable(raw: Collected) -> list[int]:
    """Rules without an overflow: one that is run may go deeper than the loops that are measured."""
    is_finite = (raw.rules.cross_entropy.isfinite() & raw.rules.kl_capped.isfinite()).all(1)
    return [k for k, each in enumerate(is_finite.tolist()) if each]


def _choices(
    probe: DepthProbe, raw: Collected, plan: Plan, spot: SweetSpot, chosen_tol: float | None
) -> tuple[list[ChoiceRecord], int | None]:
    """Each rule against the oracle, and the number of the one whose depths are shown by group, if there is one."""
    losses = raw.loops.cross_entropy.numpy()
    oracle = oracle_depth(losses)
    shares, fixed = best_shares(losses), float(regret(losses[spot.loop - 1], losses).mean())
    own, usable = len(plan.tols), _usable(raw)
    # Without a tolerance within the target, the strictest one stands for halting at a fixed point.
    tol = plan.tols[0] if chosen_tol is None else chosen_tol
    halting = plan.tols.index(tol)
    named = {own: f"own: {probe.own_rule}", halting: f"residual below {tol:g}, cap {plan.cap}"}
    asked = {k: name for k, name in named.items() if k in usable}
    made = [
        ChoiceRecord(
            rule=name,
            mean_depth=float(raw.depths[k].double().mean()),
            oracle_depth=float(oracle.mean()),
            regret=float(regret(raw.rules.cross_entropy[k].numpy(), losses).mean()),
            regret_of_sweet_spot=fixed,
            correlation=finite(rank_correlation(raw.depths[k].numpy(), oracle)),
            best_shares=shares,
        )
        for k, name in asked.items()
    ]
    shown = own if probe.is_adaptive and own in usable else halting
    return made, shown if shown in usable else None


def _groups(raw: Collected, rule: int) -> dict[str, list[GroupRecord]]:
    """Depths of one rule by position, surprisal, format and difficulty."""
    depths, losses = raw.depths[rule].numpy(), raw.rules.cross_entropy[rule].numpy()
    oracle = oracle_depth(raw.loops.cross_entropy.numpy())
    owner = raw.owner.numpy()
    places, ranges = position_names(raw.positions.numpy())
    kinds = [raw.kinds[i] for i in owner]
    labels: dict[str, tuple[list[str], Sequence[str] | None]] = {
        "position": (places, ranges),
        "surprisal": (quarter_names(losses), QUARTERS),
        "format": (kinds, None),
        "difficulty": _difficulties(raw, losses, owner),
    }
    made = {}
    for by, (names, order) in labels.items():
        groups = depth_groups(names, depths, oracle, losses, order)[:_MOST_KINDS]
        made[by] = [GroupRecord(**asdict(group)) for group in groups]
    return made


def _difficulties(raw: Collected, losses: Array, owner: Array) -> tuple[list[str], Sequence[str] | None]:
    """As the data says; where it says nothing, the quarter of the passage's own mean loss."""
    if any(raw.difficulties):
        return [raw.difficulties[i] or _UNSAID for i in owner], [*in_order(set(raw.difficulties) - {""}), _UNSAID]
    sums, counts = by_sequence(losses[None], owner, len(raw.kinds))
    names = iter(quarter_names(sums[:, 0] / counts))
    present = np.bincount(owner.astype(np.int64), minlength=len(raw.kinds)) > 0
    by_passage = [next(names) if each else "" for each in present]
    return [by_passage[i] for i in owner], QUARTERS


def _notes(raw: Collected, plan: Plan, is_out_of_reach: bool, num_sequences: int) -> list[str]:
    found = []
    if is_out_of_reach:
        found.append(
            f"No tolerance keeps KL(p_exit || p_cap) within {plan.target_kl:g} nats a token; the strictest one stands "
            "in for it among the chosen depths."
        )
    if num_sequences < 30:
        found.append(f"Intervals are over {num_sequences} sequences only, and too narrow for so few.")
    if raw.local:
        found.append(
            f"Jacobians are those of the first {plan.jacobian_tokens} tokens of one sequence; norms are estimates from "
            "below, and their last change is given."
        )
    if not any(raw.difficulties):
        found.append("Difficulty is the quarter of a passage's own mean loss: the data names none.")
    return found
