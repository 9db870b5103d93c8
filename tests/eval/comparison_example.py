"""A comparison of made-up numbers with as many arms, and as hostile a name, as a page may get."""

from __future__ import annotations

import numpy as np

from eval.bootstrap import bootstrap_band
from eval.report import Curve
from eval.report.comparison import Cell, ComparisonReport, Difference

ARMS = ["base", "base, single answers", "grpo", "multi_rlvr", "vpo", "<script>window.broken=1</script>%{y}"]
METRICS = ["best@1", "best@3", "best@30", "E_w[best@30]", "hypervolume", "pool L1", "distinct", "generated tokens"]


def example_comparison() -> ComparisonReport:
    rng = np.random.default_rng(0)

    def curve(arm: int, step: float) -> Curve:
        band = bootstrap_band(np.sort(rng.random((20, 30)), axis=1) * (0.5 + arm / 12))
        return Curve([step * k for k in range(1, 31)], list(band.mean), list(band.lo), list(band.hi))

    table = {arm: {name: Cell(rng.random(), None if arm == "base" else 0.01) for name in METRICS} for arm in ARMS}
    table["vpo"]["generated tokens"] = Cell(401_337.0)
    table["base"]["generated tokens"] = Cell(None)
    differences = [
        Difference(arm, "base" if arm == "grpo" else "grpo", name, 0.05, low, 0.09)
        for arm in ARMS[2:]
        for name, low in zip(METRICS[:5], (0.01, -0.02, 0.02, 0.03, float("nan")), strict=True)
    ]
    return ComparisonReport(
        title="maze: grpo, multi_rlvr, vpo",
        lead="Six policies; 400,000 generated tokens of training each, 3 seeds.",
        command="vpo compare recipes/maze.yaml --objectives grpo,multi_rlvr,vpo",
        created="2026-11-24T12:00:00+00:00",
        hardware="2 CPU cores, no GPU",
        versions={"vpo": "0.1.0", "torch": "2.13.0"},
        table=table,
        charts={
            ("Fixed taste w*: best@k", "number of answers k", "utility"): {a: curve(i, 1) for i, a in enumerate(ARMS)},
            ("The same, by tokens", "completion tokens", "utility"): {
                a: curve(i, 12.5 + i) for i, a in enumerate(ARMS)
            },
        },
        differences=differences,
        notes=["The base is the policy that all runs start from.", "Fewer than three seeds."],
    )
