"""The numbers on the page are those of the model: read from its charts and tables, and worked out once more by hand.

The core is ``z -> 1.5 tanh(z)``, channel by channel: it goes to ``+z*`` or ``-z*`` with ``z* = 1.5 tanh(z*)``, where
its derivative is ``1.5 (1 - tanh(z*)^2) = 1.5 - z*^2 / 1.5``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import spearmanr

from eval.depth import DepthReport, Plan, measure_depth, passage_batches
from eval.report.depth import render
from tests.eval.collapse_page.reading import Page, small_plotly  # noqa: F401
from tests.eval.depth_report.analytic_cores import VOCABULARY, WIDTH, Core, normal
from tests.eval.depth_report.slow_numbers import GAIN, Token, passages_of, size, tokens_of

LOOPS, CAP, TOLS = 7, 5, (0.05, 0.12, 0.2)
CORE = Core(lambda z: GAIN * z.tanh(), head=0.3 * normal(VOCABULARY, WIDTH, seed=2))
PASSAGES = passages_of(CORE)
TOKENS = tokens_of(CORE, PASSAGES, LOOPS)
LOSS = np.array([token.loss for token in TOKENS]).T


@pytest.fixture(scope="module")
def report() -> DepthReport:
    plan = Plan(LOOPS, CAP, TOLS, target_kl=0.02, jacobian_loops=(1, LOOPS), draws=100)
    return measure_depth(CORE.probe(), passage_batches(PASSAGES, 6), plan)


@pytest.fixture(scope="module")
def source(report: DepthReport) -> str:
    return render(report)


@pytest.fixture(scope="module")
def drawn(source: str) -> dict:
    """Name of a line -> (x, y) as it is drawn."""
    lines = [trace for spec in Page(source).specs for trace in spec["data"] if trace.get("mode") == "lines+markers"]
    return {trace["meta"]: dict(zip(trace["x"], trace["y"], strict=True)) for trace in reversed(lines)}


def table(source: str, section: str) -> list[dict[str, str]]:
    """Rows of a section's last table: column to cell, the head under ``""``."""
    part = source[source.index(f'<section id="{section}">') :]
    part = part[: part.index("</section>")]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', part, re.DOTALL)
    return [{"": head, **dict(re.findall(r'data-name="(.*?)">(.*?)</td>', cells))} for head, cells in rows]


def printed(cell: str) -> float:
    return float(re.match(r"[-\d.e+]+", cell)[0])


def as_printed(value: float):
    return pytest.approx(value, abs=5.1e-4 if abs(value) >= 0.1 else 0, rel=0 if abs(value) >= 0.1 else 0.051)


def mean(value: Callable[[Token], float]) -> float:
    return float(np.mean([value(token) for token in TOKENS]))


PER_LOOP = {
    "cross-entropy": lambda loop: mean(lambda each: each.loss[loop - 1]),
    "accuracy": lambda loop: mean(lambda each: float(each.logs[loop - 1].argmax() == each.target)),
    "to the loop before": lambda loop: mean(lambda each: each.divergence(loop, loop - 1)) if loop > 1 else None,
    "to the capped output": lambda loop: mean(lambda each: each.divergence(loop, CAP)) if loop != CAP else None,
    "residual": lambda loop: mean(lambda each: each.residual(loop)),
    "size of the step": lambda loop: mean(lambda each: size(each.step(loop))),
    "size of the state, of the first loop's": lambda loop: mean(lambda e: size(e.states[loop]) / size(e.states[1])),
    "cosine to the step before": lambda loop: mean(lambda each: each.cosine(loop)) if loop > 1 else None,
    "step, of the one before": lambda loop: (
        mean(lambda each: size(each.step(loop)) / size(each.step(loop - 1))) if loop > 1 else None
    ),
}


@pytest.mark.parametrize("name", PER_LOOP)
def test_every_line_over_loops_is_what_a_plain_loop_finds(name: str, drawn: dict) -> None:
    expected = {loop: PER_LOOP[name](loop) for loop in range(1, LOOPS + 1)}
    assert list(drawn[name]) == list(expected)
    for loop, value in expected.items():
        assert drawn[name][loop] == (None if value is None else pytest.approx(value, rel=2e-3)), f"loop {loop}"


COLUMNS = {
    "cross-entropy": "cross-entropy",
    "accuracy": "accuracy",
    "KL to the loop before": "to the loop before",
    "residual": "residual",
    "cosine": "cosine to the step before",
}


@pytest.mark.parametrize("column", [*COLUMNS, "gain", "KL to the cap"])
def test_every_column_of_the_table_of_loops_is_what_a_plain_loop_finds(column: str, source: str) -> None:
    rows = table(source, "figures")
    assert [row[""] for row in rows] == ["1 loop", *(f"{loop} loops" for loop in range(2, LOOPS + 1))]
    for loop, row in enumerate(rows, start=1):
        if column == "gain":
            value = LOSS[loop - 2].mean() - LOSS[loop - 1].mean() if loop > 1 else None
        elif column == "KL to the cap":
            value = mean(lambda each, loop=loop: each.divergence(loop, CAP))
        else:
            value = PER_LOOP[COLUMNS[column]](loop)
        assert row[column] == "–" if value is None else printed(row[column]) == as_printed(value), f"loop {loop}"
        low, high = re.findall(r"[-\d.e+]+", row[column])[1:] or (-math.inf, math.inf)
        assert value is None or float(low) - 1e-3 <= value <= float(high) + 1e-3


def test_a_divergence_is_taken_from_the_later_loop_to_the_earlier_one() -> None:
    there, back = (mean(lambda each, pair=pair: each.divergence(*pair)) for pair in ((2, 1), (1, 2)))
    assert abs(there - back) > 0.01 * there, "else the test of the line would pass either way round"


def test_the_jacobian_is_that_of_the_tanh_at_the_state_and_at_the_fixed_point() -> None:
    loops = 40
    plan = Plan(loops, CAP, (0.1,), jacobian_loops=(1, loops), draws=20)
    first, last = measure_depth(CORE.probe(), passage_batches(PASSAGES, 6), plan).jacobian
    longest = max(PASSAGES, key=lambda row: len(row.ids))
    states = GAIN * np.tanh(CORE.embedding[list(longest.ids)].numpy())
    stretch = (GAIN * (1 - np.tanh(states) ** 2)).max()
    assert (first.norm, first.radius) == pytest.approx((stretch, stretch), rel=2e-2)
    fixed = brentq(lambda z: GAIN * math.tanh(z) - z, 0.1, 3)
    assert (last.norm, last.radius) == pytest.approx((GAIN - fixed**2 / GAIN,) * 2, rel=1e-3)


@pytest.mark.parametrize(("number", "tol"), list(enumerate(TOLS)))
def test_every_tolerance_costs_what_stopping_by_hand_costs(number: int, tol: float, report, source: str) -> None:
    depths = np.array([each.halts(tol, CAP) for each in TOKENS])
    assert 1 < depths.mean() < CAP, "else the tolerance shows nothing"
    kl = np.mean([each.divergence(depth, CAP) for each, depth in zip(TOKENS, depths, strict=True)])
    loss = np.mean([each.loss[depth - 1] for each, depth in zip(TOKENS, depths, strict=True)])
    row = table(source, "calibration")[number]
    assert row[""] == f"{tol:g}" + " (chosen)" * (tol == report.chosen_tol)
    assert printed(row["loops a token"]) == pytest.approx(depths.mean(), abs=5.1e-3)
    assert printed(row["KL to the cap"]) == as_printed(kl) or kl == report.tolerances[number].kl == 0
    assert printed(row["cross-entropy"]) == as_printed(loss)
    capped = [each.halts(tol, CAP + 1) > CAP for each in TOKENS]
    assert printed(row["at the cap"]) == pytest.approx(100 * np.mean(capped), abs=0.051)


def test_rules_are_held_against_the_oracle_and_a_fixed_depth_at_the_sweet_spot(report, source: str) -> None:
    means = LOSS.mean(1)
    spot = next(loop for loop in range(1, LOOPS + 1) if means[loop - 1] <= means.min() + 0.01)
    assert report.sweet_spot.loop == spot == 2 and ">2 loops</dd>" in source
    best, oracle = LOSS.min(0), LOSS.argmin(0) + 1
    tol = report.chosen_tol or TOLS[0]
    chosen = np.array([each.halts(tol, CAP) for each in TOKENS])
    own, halting = table(source, "depths")
    for row, depths in ((own, np.full(len(TOKENS), 4)), (halting, chosen)):
        losses = LOSS[depths - 1, np.arange(len(TOKENS))]
        assert printed(row["loops a token"]) == pytest.approx(depths.mean(), abs=5.1e-3)
        assert printed(row["oracle’s"]) == pytest.approx(oracle.mean(), abs=5.1e-3)
        assert printed(row["regret"]) == as_printed((losses - best).mean())
        assert printed(row["of the sweet spot"]) == as_printed((LOSS[spot - 1] - best).mean())
    assert own["rank correlation"] == "–"
    assert printed(halting["rank correlation"]) == as_printed(spearmanr(chosen, oracle).statistic)
    shares = [np.mean(oracle == loop) for loop in range(1, LOOPS + 1)]
    assert report.choices[0].best_shares == pytest.approx(shares)


def test_bars_are_the_shares_of_each_kinds_tokens(report, source: str) -> None:
    tol = report.chosen_tol or TOLS[0]
    (spec,) = [spec for spec in Page(source).specs if "prose" in spec["layout"]["yaxis"].get("ticktext", [])]
    for depth, trace in enumerate(spec["data"], start=1):
        for kind, share, told in zip(trace["text"], trace["x"], trace["customdata"], strict=True):
            depths = np.array([each.halts(tol, CAP) for each in TOKENS if each.kind == kind])
            assert (share, told) == pytest.approx((np.mean(depths == depth), depths.mean())), (kind, depth)
