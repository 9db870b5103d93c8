"""A comparison of searches with made-up numbers, long names and a hostile one."""

from __future__ import annotations

import numpy as np

from eval.bootstrap import bootstrap_band
from eval.report import Curve
from eval.report.comparison import Cell, ComparisonReport, Difference

POLICIES = ["base", "GRPO", "VPO, for search", "<script>window.broken=1</script>%{y}"]
PROCEDURES = ["best-of-n", "evolution", "lexicase, four islands"]
ARMS = [f"{policy} / {procedure}" for policy in POLICIES for procedure in PROCEDURES]
METRICS = ["best", "E_w[best]", "AUC over tokens", "AUC over answers", "hypervolume", "signatures", "duplicates"]


def example_searches() -> ComparisonReport:
    rng = np.random.default_rng(0)

    def curve(arm: int, x: list[float], shift: float = 0.5) -> Curve:
        band = bootstrap_band(np.sort(rng.random((20, len(x))), axis=1) * 0.3 + shift + arm / 60)
        return Curve(x, list(band.mean), list(band.lo), list(band.hi))

    tokens, answers = [24.0 * k for k in range(1, 51)], [float(k) for k in range(1, 93)]
    table = {arm: {name: Cell(rng.random(), 0.01) for name in METRICS} for arm in ARMS}
    for number, row in enumerate(table.values()):
        row["answers"] = Cell(61.25 + number, 3.0)
        row["reaches the best-of-n of base"] = Cell(0.8, 0.05)
        row["tokens of those, the best-of-n of base"] = Cell(312.0)
        row["tokens of all, the best-of-n of base"] = Cell(None, instead="> 1,200") if number % 2 else Cell(424.0)
    pairs = [(arm, f"{arm.split(' / ')[0]} / best-of-n") for arm in ARMS if not arm.endswith("best-of-n")]
    pairs += [(arm, f"base / {arm.split(' / ')[1]}") for arm in ARMS if not arm.startswith("base")]
    taste = "Fixed taste w*: best so far"
    return ComparisonReport(
        title="Search on maze",
        lead="Four policies, three procedures; 1,200 generated tokens for each of 60 problems, 3 seeds.",
        command="vpo search compare mazes.yaml",
        created="2026-11-24T12:00:00+00:00",
        hardware="2 CPU cores, no GPU",
        versions={"vpo": "0.1.0", "torch": "2.13.0"},
        table=table,
        charts={
            (taste, "completion tokens", "w* · r of the best"): {a: curve(i, tokens) for i, a in enumerate(ARMS)},
            (f"{taste}, by answers", "number of answers", "w* · r of the best"): {
                a: curve(i, answers) for i, a in enumerate(ARMS)
            },
            ("Policy: w* · r less that of base, same procedure", "completion tokens", "difference of w* · r"): {
                a: curve(i, tokens, -0.2) for i, a in enumerate(ARMS) if not a.startswith("base")
            },
        },
        differences=[
            Difference(arm, against, name, 0.05, low, 0.09, p)
            for arm, against in pairs
            for name, low, p in zip(
                METRICS, (0.01, -0.02, 0.02, 0.03, 0.01, -0.01, float("nan")), [0.0001, 0.2] * 4, strict=False
            )
        ],
        notes=["Best-of-n has no order."],
        findings=["VPO lies above GRPO at 45 of 50 budgets of completion tokens: below at 24 to 96, level at 120."],
    )
