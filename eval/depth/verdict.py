"""From numbers to a change of configuration: the decision table of ``research/looped.md`` 4.1, and the sweet spot.

:func:`vpo.looped.stability.findings` reads the table's rows off the numbers. Here each gets the setting that it
implies, and the sweet spot gets rows of its own, which the table lacks. Order is urgency: a loop that drifts or
swings must be mended before its depth is worth choosing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.depth.sweet_spot import SweetSpot
from vpo.looped.stability import Finding

#: Share of the sweet spot's loops that a stopping rule must save to be worth its bookkeeping (README: a tenth of the
#: time is what the bookkeeping takes on a narrow core).
WORTHWHILE = 0.1

#: Findings that call for a change, the first ones before any depth is chosen.
FIRST = ("diverges", "drifts", "oscillates", "unstable")
THEN = ("over_contracts", "past_trained_depth")


@dataclass(frozen=True)
class Advice:
    """One thing seen.

    Args:
        kind: A word to test for: those of :class:`~vpo.looped.stability.Finding`, and ``sweet_spot``, ``more_loops``,
            ``halt``, ``keep``, ``unstable_somewhere``.
        text: What was seen, with the numbers, and what to do.
        settings: Setting to the value that it should have; empty if nothing is to be set.
    """

    kind: str
    text: str
    settings: dict[str, Any] = field(default_factory=dict)


def advise(
    findings: Sequence[Finding],
    spot: SweetSpot,
    *,
    cap: int,
    loops: int,
    trained_loops: int,
    halting: tuple[float, float] | None,
    step_size: float,
    settings: Callable[..., dict[str, Any]],
) -> list[Advice]:
    """Put findings and sweet spot in order, each with its change; the first one is the verdict.

    Args:
        findings: From :func:`vpo.looped.stability.findings`.
        spot: The sweet spot.
        cap: Present cap.
        loops: Loops that were run.
        trained_loops: Deepest loop of training.
        halting: Tolerance and mean depth of the stopping rule within the allowed divergence; None if there is none.
        step_size: Largest damping under which the last state would attract; NaN if unknown.
        settings: The probe's, see :meth:`eval.depth.DepthProbe.settings`.
    """
    by_kind = {each.kind: each for each in findings}
    if "settled" in by_kind:
        # The Jacobian is that of one sequence's state, and the states of all texts did settle: said, but not urgent.
        findings = [each if each.kind != "unstable" else Finding("unstable_somewhere", each.text) for each in findings]
        by_kind.pop("unstable", None)
    made = [_mended(by_kind[kind], spot, loops, step_size, cap, settings) for kind in FIRST if kind in by_kind]
    is_sound = not made
    made += [_mended(by_kind[kind], spot, loops, step_size, cap, settings) for kind in THEN if kind in by_kind]
    # Where the state overflows, more loops than were run have no number: they are no way out.
    asks_for_more = spot.is_last and "diverges" not in by_kind
    made += _depth(spot, cap, loops, trained_loops, halting, settings, asks_for_more)
    if is_sound and not asks_for_more and not any(each.settings for each in made):
        text = (
            f"Keep the cap of {cap}: the sweet spot is {_where(spot)}, and no setting promises more at the same loss."
        )
        made.insert(0, Advice("keep", text))
    rest = [each for each in findings if each.kind not in (*FIRST, *THEN)]
    return made + [Advice(each.kind, each.text, _idle_cap(each, spot, cap, settings)) for each in rest]


def _mended(
    finding: Finding, spot: SweetSpot, loops: int, step_size: float, cap: int, settings: Callable[..., dict[str, Any]]
) -> Advice:
    """A finding that calls for a change, and that change."""
    change: dict[str, Any] = {}
    if finding.kind in ("diverges", "drifts"):
        change = settings("scale")
    elif finding.kind in ("oscillates", "unstable"):
        # Half way to the bound: at the bound itself a state neither settles nor leaves.
        size = step_size / 2 if 0 < step_size < 1 else 0.5
        change = settings("damp", cap=cap, step_size=float(f"{size:.2g}")) if step_size != 0 else {}
    else:
        # Both say that late loops hurt: never a reason to raise the cap.
        change = settings("cap", cap=spot.loop) if spot.loop < cap else {}
        if finding.kind == "past_trained_depth":
            change = {**change, **settings("train", high=loops)}
    return Advice(finding.kind, finding.text, change)


def _depth(
    spot: SweetSpot,
    cap: int,
    loops: int,
    trained_loops: int,
    halting: tuple[float, float] | None,
    settings: Callable[..., dict[str, Any]],
    asks_for_more: bool,
) -> list[Advice]:
    """What the sweet spot says of the cap, and whether stopping token by token is worth it."""
    found = []
    where = f"The sweet spot is {_where(spot)}"
    if asks_for_more:
        text = f"{where}, the last one run: more might be better still. Measure with --loops {2 * loops}."
        found.append(Advice("more_loops", text))
    elif spot.loop < cap:
        # The upper end: the cap may be too high at no loss of quality, not too low.
        better = min(spot.hi, cap)
        sure = "" if better == spot.loop else f"; {better} is the lowest cap that the interval allows"
        change = settings("cap", cap=better) if better < cap else {}
        found.append(Advice("sweet_spot", f"{where}, below the cap of {cap}{sure}.", change))
    elif spot.loop > cap:
        trained = "" if spot.loop <= trained_loops else f", past the trained depth of {trained_loops}"
        is_sure = spot.lo > cap
        rest = "raise the cap" if is_sure else "but the interval holds the cap: measure more text before raising it"
        change = settings("cap", cap=spot.loop) if is_sure else {}
        found.append(Advice("sweet_spot", f"{where}, above the cap of {cap}{trained}: {rest}.", change))
    else:
        found.append(Advice("sweet_spot", f"{where}, which is the cap."))
    best = min(spot.loop, cap)
    if halting is not None and halting[1] < (1 - WORTHWHILE) * best:
        tol, mean_depth = halting
        text = (
            f"Stopping each token at a residual of {tol:g} takes {mean_depth:.2f} loops a token instead of {best}, "
            "within the allowed divergence."
        )
        found.append(Advice("halt", text, settings("halt", tol=tol, cap=cap)))
    return found


def _idle_cap(finding: Finding, spot: SweetSpot, cap: int, settings: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    is_idle = finding.kind == "lower_cap" and spot.hi < cap
    return settings("cap", cap=spot.hi) if is_idle else {}


def _where(spot: SweetSpot) -> str:
    interval = f"{spot.lo}" if spot.lo == spot.hi else f"{spot.lo} to {spot.hi}"
    return f"{_loops(spot.loop)} (95% interval {interval}, slack {spot.slack:g} nats)"


def _loops(count: int) -> str:
    return f"{count} loop" if count == 1 else f"{count} loops"
