"""The demo's page: gathers what the stages left into a report."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from eval.bootstrap import bootstrap_band
from eval.looks import looks_of
from eval.report import Curve, DemoReport, Figure, GalleryItem, LookPoint, SearchCurve, TableRow, Verdict
from vpo.cli.study.checks import acceptance
from vpo.cli.study.sampling import pool_file
from vpo.cli.study.settings import Arm, Settings
from vpo.cli.study.tables import PolicyCurves, blind_curves, oracle_values, pool_curves, stage_facts
from vpo.tasks.maze.drawing import draw_routes
from vpo.tasks.maze.routes import walk

_NOTES = [
    "One seed on one machine: a picture of the effect, not a measurement of it. `python benchmarks/maze.py` repeats it "
    "over several seeds with fresh warm starts and prints standard errors.",
    "best@k of multi-answer policies counts answers as they are written: whole completions in random order, of which "
    "the first k answers are kept. A single-answer policy's k answers are k completions.",
    "The arms generated equally many tokens in training, and every search may generate equally many for a maze.",
]


def build_report(
    run: Path, settings: Settings, command: str, created: str, hardware: str, versions: dict[str, str]
) -> DemoReport:
    """Read the stages' results in ``run`` and put the page's content together."""
    policies = {"base": settings.num_answers, **{arm.name: arm.num_answers for arm in settings.arms}}
    curves = {name: pool_curves(run, settings, name, count) for name, count in policies.items()}
    shuffled = {name: pool_curves(run, settings, name, count, shuffled=True) for name, count in policies.items()}
    blind, (oracle, oracle_expected) = blind_curves(settings), oracle_values(settings)
    checks = acceptance(curves, shuffled, blind, settings)
    ks = list(range(1, settings.pool_answers + 1))
    every = {**curves, **{f"{n}, shuffled prompts": c for n, c in shuffled.items() if n != "base"}, "blind": blind}
    return DemoReport(
        title="GRPO and VPO on mazes: what becomes of diversity",
        command=command,
        created=created,
        seed=settings.seed,
        hardware=hardware,
        versions=versions,
        summary=_summary(curves, settings),
        best_at_k={**{n: _curve(ks, c.best) for n, c in every.items()}, "oracle": _flat(ks, oracle)},
        expected_best_at_k={
            **{n: _curve(ks, c.expected) for n, c in every.items()},
            "oracle": _flat(ks, oracle_expected),
        },
        table=_table(run, settings, every, oracle, oracle_expected),
        looks={arm.name: _looks(run, settings, arm) for arm in settings.arms},
        search=_search(run, settings, list(policies)),
        gallery=_gallery(run, settings, policies),
        verdicts=[
            Verdict(c.name, f"{c.figure:+.3f}" if c.signed else f"{c.figure:.2f}", c.target_text, c.ok) for c in checks
        ],
        notes=_NOTES,
    )


def _curve(ks: list[int], values: np.ndarray) -> Curve:
    band = bootstrap_band(values)
    return Curve([float(k) for k in ks], list(band.mean), list(band.lo), list(band.hi))


def _flat(ks: list[int], values: np.ndarray) -> Curve:
    return Curve([float(k) for k in ks], [float(values.mean())] * len(ks))


def _summary(curves: dict[str, PolicyCurves], settings: Settings) -> list[Figure]:
    if not {"GRPO", "VPO"} <= set(curves):
        return []
    grpo, vpo, base = curves["GRPO"], curves["VPO"], curves["base"]
    last = settings.pool_answers
    return [
        Figure("Pool L1, VPO / GRPO", f"{vpo.pool_l1 / max(grpo.pool_l1, 1e-9):.1f} x", f"base {base.pool_l1:.2f}"),
        Figure("E_w[best@3], VPO - GRPO", f"{vpo.at(3)[1] - grpo.at(3)[1]:+.3f}", f"base {base.at(3)[1]:.3f}"),
        Figure(
            f"best@{last}, VPO - GRPO", f"{vpo.at(last)[0] - grpo.at(last)[0]:+.3f}", f"base {base.at(last)[0]:.3f}"
        ),
        Figure("best@1, VPO - GRPO", f"{vpo.at(1)[0] - grpo.at(1)[0]:+.3f}", f"base {base.at(1)[0]:.3f}"),
    ]


def _table(
    run: Path, settings: Settings, every: dict[str, PolicyCurves], oracle: np.ndarray, expected: np.ndarray
) -> list[TableRow]:
    rows = []
    last = settings.pool_answers
    for name, c in every.items():
        metrics: dict[str, float | None] = {f"best@{k}": c.at(k)[0] for k in sorted({1, 3, last})}
        metrics |= {f"E_w[best@{k}]": c.at(k)[1] for k in sorted({3, last})}
        metrics |= {"pool L1": c.pool_l1, "distinct": c.distinct, "completion share": c.valid}
        arm = next((arm for arm in settings.arms if arm.name == name), None)
        if arm is not None:
            facts = stage_facts(run, f"arms/{arm.name}")
            metrics |= {"generated tokens": facts["generated_tokens"], "seconds": facts["seconds"]}
        rows.append(TableRow(name, metrics))
    best = {f"best@{k}": float(oracle.mean()) for k in sorted({1, 3, last})}
    rows.append(TableRow("oracle", {**best, **{f"E_w[best@{k}]": float(expected.mean()) for k in sorted({3, last})}}))
    return rows


def _looks(run: Path, settings: Settings, arm: Arm) -> list[LookPoint]:
    task = settings.task
    folder = run / "arms" / arm.name / "rollouts"
    return [
        LookPoint(
            step=look.step,
            pool_l1=look.pool_l1,
            distinct=look.distinct,
            best_at_1=look.best_at_1,
            set_reward=look.set_reward,
            shares=dict(look.shares),
            format_shares=dict(look.format_shares),
        )
        for look in looks_of(folder, settings.look_every, task.w_star, arm.num_answers, task.label)
    ]


def _search(run: Path, settings: Settings, policies: list[str]) -> dict[str, SearchCurve]:
    result = {}
    for policy in policies:
        path = run / "search" / policy / "curves.npz"
        if not path.exists():
            continue
        with np.load(path) as data:
            for procedure in ("best-of-n", "evolution"):
                tokens, answers = bootstrap_band(data[procedure]), bootstrap_band(data[f"{procedure} answers"])
                result[f"{policy} / {procedure}"] = SearchCurve(
                    Curve(list(data["grid"]), list(tokens.mean), list(tokens.lo), list(tokens.hi)),
                    Curve(
                        [float(x) for x in data["answers_grid"]], list(answers.mean), list(answers.lo), list(answers.hi)
                    ),
                )
    return result


def _gallery(run: Path, settings: Settings, policies: dict[str, int], num: int = 4) -> list[GalleryItem]:
    """The first held-out mazes, not chosen ones, each with all pool answers of every policy."""
    task = settings.task
    items = []
    answers = {}
    for name, count in policies.items():
        with np.load(pool_file(run, name, count, shuffled=False)) as pool:
            answers[name] = pool["answers"]
    for i, maze in enumerate(islice(task.examples("test"), min(num, settings.eval_examples))):
        panels = {}
        for name in policies:
            routes = [walk(str(text), maze, task.notation).cells for text in answers[name][i].ravel()]
            panels[name] = draw_routes(maze, routes, f"Routes of {name} through held-out maze {i + 1}")
        items.append(
            GalleryItem(
                f"Held-out maze {i + 1}, budget {maze.budget} steps: {settings.pool_answers} answers of each policy",
                panels,
                "S start, E exit, G gold, D diamonds, L lava, dark cells walls. The five most frequent routes are "
                "drawn; the wider a line, the more often that route was given.",
            )
        )
    return items
