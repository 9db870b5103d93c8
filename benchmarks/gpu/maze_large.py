"""On a GPU, does what the maze study says of .2 M parameters hold for a few hundred million?

The study of benchmarks/maze.py at another size: a looped policy of 303 M parameters (width 1024, 6 + 12 + 6 layers, two
loops) is warm-started on 7x7 mazes, where thirty tries are not nearly all there is, and trained on with GRPO and VPO at
equal generated tokens; 30 answers to each of 200 held-out mazes are drawn from base and arms, with and without shuffled
prompts, and best fixed routes and an oracle stand beside them. bfloat16 autocast over float32 weights. The settings are
guesses from the small study: nobody has tuned or run them. Some 5 hours a seed on one GPU of 80 GB, by estimate.

Everything is kept in runs/benchmarks/gpu_maze_large, with checkpoints; Ctrl-C or a lost machine costs minutes: the same
command goes on where it was.

    python benchmarks/gpu/maze_large.py --seeds 1     # one seed; 3 by default
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device import choose_device, finish, forget, gib, parser, peak_gib, run
from maze_stages import Plan, draw, train_arm, warm_start
from targets import Target

from eval.bootstrap import mean_and_error
from vpo.cli.study.checks import acceptance
from vpo.cli.study.settings import QUICK, Settings
from vpo.cli.study.tables import KS, PolicyCurves, blind_curves, oracle_values, pool_curves
from vpo.cli.study.training import finish as mark_done
from vpo.cli.study.training import quiet

FOLDER = Path("runs/benchmarks/gpu_maze_large")
Curves = dict[str, PolicyCurves]
MAZE = {"size": 7, "zone_radius": 3, "num_lava": 6, "num_items": 5, "max_budget": 20}
LARGE: dict[str, Any] = {
    "task_options": {"maze": MAZE},
    "warm_start_steps": 4000,
    "warm_start_batch": 256,
    "warm_start_lr": 3e-4,
    "train_examples": 100_000,
    "generated_tokens": 8_000_000,
    "prompts_per_step": 64,
    "learning_rate": 2e-5,
    "eval_examples": 200,
}
SMALL: dict[str, Any] = QUICK | {
    "warm_start_steps": 4,
    "generated_tokens": 600,
    "prompts_per_step": 2,
    "answers_per_prompt": 12,
    "eval_examples": 3,
}


def stage(folder: Path, device: torch.device, work: Any) -> dict[str, Any]:
    """What a stage left in ``done.json``; it is run if it has left nothing."""
    if not (folder / "done.json").exists():
        forget(device)
        start = time.perf_counter()
        facts = work(folder)
        took = time.perf_counter() - start  # of this session alone, if there were others before
        mark_done(folder, {**facts, "seconds": took, "peak_gib": peak_gib(device)})
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    facts = json.loads((folder / "done.json").read_text())
    print(f"  {folder.name}: done, peak memory {gib(facts['peak_gib'])}", flush=True)
    return facts


def study(plan: Plan, asked: argparse.Namespace, root: Path, device: torch.device) -> tuple[Curves, Curves]:
    """One seed, all that is missing of it: (curves by policy, the same with shuffled prompts)."""
    settings = plan.settings
    root.mkdir(parents=True, exist_ok=True)
    written = json.dumps(asdict(plan), indent=1)
    if (root / "plan.json").exists() and (root / "plan.json").read_text() != written:
        raise ValueError(f"{root} holds a study with other settings: expected the same. Choose another --out.")
    (root / "plan.json").write_text(written)
    stage(root / "warm_start", device, lambda folder: warm_start(plan, asked, folder))
    sources = {"base": root / "warm_start" / "model"}
    for arm in settings.arms:
        stage(root / arm.name, device, lambda folder, arm=arm: train_arm(plan, asked, sources["base"], arm, folder))
        sources[arm.name] = root / arm.name / "model"
    curves, shuffled = {}, {}
    for name, source in sources.items():
        of_it = lambda folder, name=name, source=source: draw(plan, root, name, source, device, folder)  # noqa: E731
        stage(root / "pools" / name, device, of_it)
        own = settings.num_answers if name == "base" else settings.arm(name).num_answers
        curves[name] = pool_curves(root, settings, name, 1 if name == "base" else own)
        shuffled[name] = pool_curves(root, settings, name, own, shuffled=True)
    return curves, shuffled


def table(all_curves: list[Curves], blind: PolicyCurves, settings: Settings) -> None:
    ks = [k for k in KS if k <= settings.pool_answers]
    print("\n" + f"{'':12}" + "".join(f"{f'best@{k}':>18}" for k in ks) + "".join(f"{f'E_w[{k}]':>18}" for k in ks))
    for name in all_curves[0]:
        cells = [mean_and_error([curves[name].at(k)[part] for curves in all_curves]) for part in (0, 1) for k in ks]
        print(f"{name:12}" + "".join(f"{each!s:>18}" for each in cells))
    print(f"{'blind':12}" + "".join(f"{blind.at(k)[part]:18.3f}" for part in (0, 1) for k in ks))
    oracle = [float(np.mean(values)) for values in oracle_values(settings)]
    print(f"{'oracle':12}" + "".join(f"{value:18.3f}" for value in oracle for _ in ks))


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, default=3, help="number of seeds, from --seed (default 3)")
    options.add_argument("--batch", type=int, default=256, help="most completions in one pass (default 256)")
    options.add_argument("--out", type=Path, help=f"where the runs are kept (default {FOLDER}, with --tiny nowhere)")
    asked = options.parse_args()
    device = choose_device(asked)
    quiet()
    with tempfile.TemporaryDirectory() as scratch:
        out = asked.out or (Path(scratch) if asked.tiny else FOLDER)
        size = {"width": 64, "layers": (1, 2, 1)} if asked.tiny else {}
        seeds = range(asked.seed, asked.seed + (1 if asked.tiny else asked.seeds))
        plans = [Plan(Settings(seed=seed, **(SMALL if asked.tiny else LARGE)), **size) for seed in seeds]
        studies = []
        for plan in plans:  # seed by seed, so that a stopped benchmark leaves whole seeds
            print(f"seed {plan.settings.seed}", flush=True)
            studies.append(study(plan, asked, out / f"seed{plan.settings.seed}", device))
        parameters = json.loads((out / f"seed{asked.seed}" / "warm_start" / "done.json").read_text())["parameters"]
    blind = blind_curves(plans[0].settings)
    print(f"\n{parameters / 1e6:.4g} M parameters; mean +- standard error over seeds {list(seeds)}")
    table([curves for curves, _ in studies], blind, plans[0].settings)
    checks = [acceptance(curves, off, blind, plan.settings) for plan, (curves, off) in zip(plans, studies, strict=True)]
    means = [(of_it[0], float(np.mean([each.figure for each in of_it]))) for of_it in zip(*checks, strict=True)]
    goals = [Target(check.name, figure, check.target) for check, figure in means]
    at = [{name: {k: each.at(k) for k in KS} for name, each in curves.items()} for curves, _ in studies]
    facts = {"plan": asdict(plans[0]), "parameters": parameters, "seeds": list(seeds), "best@k and E_w, by seed": at}
    return finish("maze_large", asked, facts, goals)


if __name__ == "__main__":
    sys.exit(run(main, "Lower --batch (the results stay the same up to rounding); what was done is kept."))
