"""A loop whose state overflows: reported up to there, with the overflow as its verdict."""

from __future__ import annotations

import json

import pytest

from eval.depth import DepthReport, LoopedProbe, Passage, Plan, measure_depth, passage_batches
from eval.report.depth import render
from tests.eval.depth_report.analytic_cores import Core
from tests.vpo.looped.tiny_looped import build

ROWS = [Passage([i % 7, 1, 2, 3, 4][: 3 + i % 3]) for i in range(6)]


def measured(factor: float, trained_loops: int = 4) -> DepthReport:
    plan = Plan(8, cap=4, tols=(0.1, 0.3), jacobian_loops=(1, 8), draws=50)
    core = Core(lambda z: factor * z, trained_loops)
    return measure_depth(core.probe(), passage_batches(ROWS, 4), plan)


@pytest.mark.parametrize(("factor", "sound"), [(1e5, 3), (1e3, 6)])
def test_the_loops_before_an_overflow_are_reported_and_the_overflow_is_the_verdict(factor: float, sound: int) -> None:
    report = measured(factor)
    assert report.advice[0].kind == "diverges" and "100%" in report.advice[0].text
    assert (report.loops, report.cap) == (sound, min(4, sound))
    assert f"in loop {sound + 1}" in report.notes[0]
    assert all(value is not None for value in report.series["cross_entropy"].mean)
    assert len(report.tolerances) == 2 and len(report.choices) == 2 and report.groups["position"]
    assert "more_loops" not in [each.kind for each in report.advice], "more would overflow as well"
    assert json.loads(report.to_json())["loops"] == sound and "overflows" in render(report)


def test_an_overflow_that_leaves_nothing_to_compare_is_an_error_with_its_cure() -> None:
    with pytest.raises(ValueError, match=r"100% of .* for the first time in loop 2: expected 2 loops"):
        measured(1e15)


def test_a_rule_of_the_models_own_that_runs_into_the_overflow_is_left_out() -> None:
    model = build(num_loops=6)
    plan = Plan(6, cap=6, tols=(0.1,), draws=50)

    class Overflowing(LoopedProbe):
        def trajectory(self, ids, mask, loops):
            found = super().trajectory(ids, mask, loops)
            for t in range(4, loops + 1):
                found.states[t].mul_(float("inf"))
                found.outputs[t - 1].mul_(float("inf"))
            return found

        def exits(self, ids, mask, trajectory, tol, cap):
            made = super().exits(ids, mask, trajectory, tol, cap)
            if tol is None:
                made.outputs.mul_(float("inf"))
            return made

    report = measure_depth(Overflowing(model), passage_batches([Passage([1, 2, 3, 4])] * 3, 3), plan)
    assert report.loops == 3 and [row.rule for row in report.choices] == ["residual below 0.1, cap 3"]
