"""What the numbers of a loop mean, and what to do about them.

The decision table of ``research/looped.md``, 4.1, as a function of plain numbers. Thresholds stand beside their source;
where there is none, the reason is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Distance of predictions at which Huginn stops looping (2502.05171), in nats.
SMALL_KL = 1e-3
#: Cosine of successive steps from which they are called a straight line.
STRAIGHT = 0.9
#: Growth of the norm, and change of a cross-entropy in nats, too small to speak of.
NOTABLE_GROWTH, NOTABLE_LOSS = 1.01, 0.01
#: Share of its maximum that the effective rank may lose.
NOTABLE_RANK = 0.95
#: Mild contraction: looped.md, 4.3.
MILD = (0.7, 0.95)


@dataclass(frozen=True)
class Finding:
    """One thing seen.

    Args:
        kind: A word to test for: ``diverges``, ``drifts``, ``oscillates``, ``unsettled``, ``settled``, ``lower_cap``,
            ``over_contracts``, ``past_trained_depth``, ``unstable``, ``transient_growth``, ``contracts``,
            ``path_dependent``.
        text: What was seen, with the numbers, and what to do.
    """

    kind: str
    text: str


def findings(
    per_loop: Mapping[str, Sequence[float]],
    *,
    tol: float,
    trained_loops: int,
    contraction: float = math.nan,
    radius: float = math.nan,
    norm: float = math.nan,
    step_size: float = math.nan,
) -> list[Finding]:
    """Read a report's numbers.

    Args:
        per_loop: Name -> one number a loop, as in :class:`~vpo.looped.stability.report.StabilityReport`; ``nan`` and
            missing names make the rules about them silent.
        tol: Residual below which a state counts as settled.
        trained_loops: Deepest loop that the model was trained with.
        contraction: Mean directional contraction.
        radius: Spectral radius after the last loop.
        norm: Spectral norm there.
        step_size: Largest stable damping there, 0 if none helps.
    """
    seen = [*_motion(per_loop, tol, step_size, contraction, radius), *_value(per_loop, tol, trained_loops)]
    if radius >= 1:
        cure = f"damp with a step size below {step_size:.2g}" if step_size > 0 else "damping cannot help; train it down"
        seen.append(Finding("unstable", f"After the last loop the spectral radius is {radius:.3g}: {cure}."))
    elif norm >= 1:
        text = f"Spectral radius {radius:.3g} but norm {norm:.3g}: small differences grow before they vanish."
        seen.append(Finding("transient_growth", text))
    elif norm < 1:
        seen.append(Finding("contracts", f"Near the last state every loop contracts: spectral norm {norm:.3g}."))
    apart = _last(per_loop, "fresh_start_distance")
    if apart > 2 * tol:
        text = f"Two starts are still {apart:.2g} of the state's size apart: where the loop ends depends on its start."
        seen.append(Finding("path_dependent", text))
    return seen


def _motion(
    per_loop: Mapping[str, Sequence[float]], tol: float, step_size: float, contraction: float, radius: float
) -> list[Finding]:
    """Where the state is going."""
    if _last(per_loop, "finite") < 1:
        share = 1 - _last(per_loop, "finite")
        return [Finding("diverges", f"The state of {share:.0%} of the tokens overflows. Control the scale first.")]
    residual, cosine = _last(per_loop, "residual"), _last(per_loop, "cosine")
    visible, growth = _last(per_loop, "scale_free_residual"), per_loop.get("norm_growth", [math.nan])
    oscillating = _last(per_loop, "oscillating")
    grows = len(growth) > 1 and growth[-1] > NOTABLE_GROWTH * growth[-2]
    # A drift's residual falls like 1/t, so it comes before the question whether the residual is small.
    if cosine > STRAIGHT and _last(per_loop, "contraction") > MILD[1] and grows:
        return [
            Finding(
                "drifts",
                f"The state moves on in a straight line (cosine {cosine:.2f}) and grows, {growth[-1]:.3g} times its "
                f"first size by now; a residual of {residual:.2g} is no convergence. Fix the scale: scale_control, a "
                "retention below 1, or scale_penalty.",
            )
        ]
    if max(residual, visible) < tol:
        return [
            Finding(
                "settled",
                f"The state settles: residual {residual:.2g}, {visible:.2g} with its scale removed, below {tol:g}; "
                f"mean contraction {contraction:.2g} a step.",
            )
        ]
    if oscillating > 0.5:
        damp = f"below {step_size:.2g} by the spectrum there" if 0 < step_size < 1 else "below 1"
        return [
            Finding(
                "oscillates",
                f"Residual {residual:.2g} after the last loop, and {oscillating:.0%} of the tokens turn back at every "
                f"step (cosine {cosine:.2f}). Damp: FixedPoint(step_size=...), {damp}.",
            )
        ]
    text = f"Residual {residual:.2g} after the last loop ({visible:.2g} with the scale removed), above {tol:g}; "
    rate = _last(per_loop, "contraction")
    if radius >= 1 or not 0 < rate < MILD[1]:
        return [
            Finding("unsettled", text + f"steps hardly shrink or will not go on shrinking ({rate:.2g} the last one).")
        ]
    needed = math.ceil(math.log(max(residual, visible) / tol) / -math.log(rate))
    return [Finding("unsettled", text + f"at {rate:.2g} a step, the last one's, {needed} more loops would settle it.")]


def _value(per_loop: Mapping[str, Sequence[float]], tol: float, trained_loops: int) -> list[Finding]:
    """What the loops buy."""
    seen = []
    moves, visible = per_loop.get("kl", ()), per_loop.get("scale_free_residual", ())
    idle = [t for t in range(2, len(moves) + 1) if max(moves[t - 1 :]) < SMALL_KL and max(visible[t - 1 :]) < tol]
    if idle:
        text = f"From loop {idle[0]} on the prediction moves by less than {SMALL_KL:g} nats a loop: a cap of "
        seen.append(Finding("lower_cap", text + f"{idle[0] - 1} loses nothing."))
    losses, ranks = per_loop.get("cross_entropy", ()), per_loop.get("effective_rank", ())
    if not losses:
        return seen
    best = min(losses)
    worse = losses[-1] > best + NOTABLE_LOSS
    if worse and ranks and ranks[-1] < NOTABLE_RANK * max(ranks):
        text = (
            f"Effective rank falls to {ranks[-1]:.3g} from {max(ranks):.3g} while the cross-entropy rises to "
            f"{losses[-1]:.3g} from {best:.3g}: the loop contracts too much, or is run too often."
        )
        seen.append(Finding("over_contracts", text))
    if trained_loops < len(losses) and losses[-1] > losses[trained_loops - 1] + NOTABLE_LOSS:
        text = (
            f"Cross-entropy rises from {losses[trained_loops - 1]:.3g} at loop {trained_loops}, the trained depth, to "
            f"{losses[-1]:.3g}: train with a wider range of depths before allowing a higher cap."
        )
        seen.append(Finding("past_trained_depth", text))
    return seen


def _last(per_loop: Mapping[str, Sequence[float]], name: str) -> float:
    return per_loop[name][-1] if per_loop.get(name) else math.nan
