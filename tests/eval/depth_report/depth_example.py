"""A depth report with everything in it, quickly made up: numbers as of a model that gains up to loop 3 of 6."""

from __future__ import annotations

from dataclasses import replace

from eval.depth.record import (
    AdviceRecord,
    ChoiceRecord,
    DepthReport,
    GroupRecord,
    JacobianRecord,
    Series,
    SweetSpotRecord,
    ToleranceRecord,
)

LOOPS = 6
FIXED = {"kind": "fixed", "num_loops": 3}
HALTING = {"kind": "fixed_point", "tol": 0.1, "cap": 4, "step_size": 1.0}


def series(*values: float | None, width: float | None = 0.02) -> Series:
    if width is None:
        return Series(list(values))
    lo, hi = ([None if value is None else value + side * width for value in values] for side in (-1, 1))
    return Series(list(values), lo, hi)


def example_depth_report() -> DepthReport:
    per_loop = {
        "cross_entropy": series(3.10, 2.80, 2.71, 2.705, 2.72, 2.75),
        "accuracy": series(0.38, 0.42, 0.44, 0.44, 0.43, 0.43),
        "kl_previous": series(None, 0.30, 0.05, 0.02, 0.015, 0.02, width=0.005),
        "kl_capped": series(0.40, 0.09, 0.02, 0.0, 0.015, 0.05, width=0.2),
        "residual": series(0.9, 0.4, 0.2, 0.1, 0.06, 0.05),
        "scale_free_residual": series(0.8, 0.35, 0.18, 0.09, 0.05, 0.04),
        "fresh_start_distance": series(1.4, 0.8, 0.5, 0.3, 0.2, 0.1, width=None),
        "step_size": series(1.2, 0.5, 0.25, 0.12, 0.08, 0.06),
        "norm_growth": series(1.0, 1.1, 1.2, 1.2, 1.25, 1.25),
        "cosine": series(None, 0.3, 0.1, -0.1, -0.2, -0.2),
        "contraction": series(None, 0.4, 0.5, 0.5, 0.7, 0.8),
        "effective_rank": series(120, 140, 138, 130, 125, 120, width=None),
        "token_cosine": series(0.20, 0.18, 0.19, 0.21, 0.24, 0.27, width=None),
        "attention_change": series(None, 0.2, 0.06, 0.03, 0.03, 0.02, width=None),
        "head_similarity": series(0.5, 0.52, 0.55, 0.58, 0.6, 0.61, width=None),
    }
    names = {
        "position": ("0", "1-3", "4-15", "16-63", "64-255"),
        "surprisal": ("lowest quarter", "second quarter", "third quarter", "highest quarter"),
        "format": ("prose", "list", "python"),
        "difficulty": ("easy", "hard"),
    }
    groups = {
        by: [GroupRecord(each, 100, 2.5, [0.2, 0.3, 0.3, 0.2], 2.1, 2.7) for each in labels]
        for by, labels in names.items()
    }
    shares = [0.3, 0.3, 0.2, 0.1, 0.05, 0.05]
    return DepthReport(
        title="How deep should some-model loop?",
        model="runs/some-model",
        make="vpo",
        command="vpo depth report runs/some-model --text held-out.jsonl --out runs/depth",
        created="2026-05-01T10:00:00+00:00",
        hardware="2 CPU cores",
        data="Measured on held-out.jsonl:",
        versions={"torch": "2.13.0"},
        loops=LOOPS,
        cap=4,
        trained_loops=4,
        num_sequences=40,
        num_tokens=4096,
        series=per_loop,
        step_gains=series(0.30, 0.09, 0.005, -0.015, -0.03),
        sweet_spot=SweetSpotRecord(3, 3, 4, 0.91, 0.01, False),
        solved=series(0.10, 0.15, 0.18, 0.18, 0.17, 0.16),
        jacobian=[JacobianRecord(loop, 1.4, 0.001, 0.8, 0.002, 1.0) for loop in (1, 4, 6)],
        tolerances=[
            ToleranceRecord(0.05, 3.6, 0.5, 0.001, 0.0005, 0.002, 2.706, 0.44),
            ToleranceRecord(0.1, 2.9, 0.2, 0.006, 0.004, 0.009, 2.71, 0.44),
            ToleranceRecord(0.3, 1.8, 0.01, 0.06, 0.05, 0.07, 2.8, 0.42),
        ],
        chosen_tol=0.1,
        target_kl=0.01,
        choices=[
            ChoiceRecord("own: FixedDepth(num_loops=4)", 4.0, 2.1, 0.25, 0.26, None, shares),
            ChoiceRecord("residual below 0.1, cap 4", 2.9, 2.1, 0.24, 0.26, 0.2, shares),
        ],
        groups=groups,
        advice=[
            AdviceRecord("sweet_spot", "The sweet spot is 3 loops, below the cap of 4.", {"depth_policy": FIXED}),
            AdviceRecord("halt", "Stopping at 0.1 takes 2.9 loops.", {"depth_policy": HALTING}),
            AdviceRecord("settled", "The state settles.", {}),
        ],
        notes=["Jacobians are those of one sequence."],
        seconds=312.0,
        peak_memory_gib=2.4,
    )


def hostile_depth_report() -> DepthReport:
    """Names that are markup, and as little as a report may hold."""
    evil = '<img src=x onerror="window.broken=1">%{x}'
    return replace(
        example_depth_report(),
        title=evil,
        model=evil,
        groups={"format": [GroupRecord(evil, 1, 1.0, [1.0], 1.0, 2.0)]},
        advice=[AdviceRecord("settled", evil, {evil: evil})],
        notes=[evil],
        jacobian=[],
        solved=None,
        choices=[],
        versions={},
    )
