"""Does reinforcement learning at chosen depth learn as fast per token as at the cap, and what if replay is off?

Each seed warm-starts a looped maze policy at random depths of 1 to 4 loops, calibrates the tolerance of fixed-point
halting to 0.01 nats of its four-loop output, and trains with GRPO and with VPO three times from there: at the fixed
cap; at the chosen depths, replayed token by token; and at the chosen depths with replay off, where the trainer scores
the tokens at the cap, as every stack does that forces a fixed depth. All see the same mazes, new ones at every step, so
the reward of training is a held-out one.

Runs are kept in runs/benchmarks/depth_rl; Ctrl-C and start again to go on. About 40 minutes on 2 cores at first.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from targets import Target, finish, parser
from workers import workers

from eval.bootstrap import mean_and_error

FOLDER = Path("runs/benchmarks/depth_rl")
OBJECTIVES = {"GRPO": ("grpo", 1), "VPO": ("vpo", 3)}
DEPTHS = ("fixed cap", "chosen, replayed", "chosen, replay off")
CAP = 4


@dataclass(frozen=True)
class Sizes:
    warm_steps: int = 900
    tokens: int = 250_000
    prompts: int = 12
    answers: int = 24  # of a prompt: G = answers / m
    calibration_rows: int = 64
    target_kl: float = 0.01


def settings(folder: Path, seed: int) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
    }


def warm_start(seed: int, sizes: Sizes, folder: Path) -> tuple[Path, float]:
    """The policy that every arm starts from, and its calibrated tolerance."""
    from trl import SFTConfig

    from trainers import WarmStartTrainer
    from vpo.looped import RandomDepth
    from vpo.looped.calibrate import calibrate
    from vpo.tasks import get_task
    from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows

    start, done = folder / "start", folder / "start" / "tol.json"
    if done.exists():
        return start, json.loads(done.read_text())["tol"]
    task = get_task("maze")
    model, tokenizer = tiny_policy(task, 3, seed, num_loops=CAP)
    rows = warm_start_rows(task, 32 * sizes.warm_steps, 4000, 3, seed)
    arguments = SFTConfig(
        **settings(folder / "warm", seed),
        per_device_train_batch_size=32,
        max_steps=sizes.warm_steps,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        warmup_steps=min(30, sizes.warm_steps // 10),
        logging_steps=100,
        max_length=None,
    )
    data = {"train_dataset": rows, "processing_class": tokenizer}
    WarmStartTrainer(model=model, args=arguments, depth_policy=RandomDepth(1, CAP), **data).train()
    held_out = warm_start_rows(task, sizes.calibration_rows, 4000, 3, seed + 1000)
    texts = [tokenizer(row["prompt"] + row["completion"])["input_ids"] for row in held_out]
    longest = max(map(len, texts))
    ids = torch.tensor([text + [tokenizer.pad_token_id] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    # Prompts count too, as when the figures were measured; a completion_mask would leave them out
    result = calibrate(model, [{"input_ids": ids, "attention_mask": mask}], sizes.target_kl, CAP)
    model.save_pretrained(start)
    tokenizer.save_pretrained(start)
    chosen = next(row for row in result.curve if row.tol == result.tol)
    done.write_text(json.dumps({"tol": result.tol, "mean_depth": chosen.mean_depth, "kl": chosen.kl}))
    return start, result.tol


def train_arm(objective: str, depth: str, seed: int, sizes: Sizes, folder: Path) -> dict[str, Any]:
    """One run; its curve is read from disk if it is there."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    start, tol = warm_start(seed, sizes, folder)
    path = folder / f"{objective}-{depth.replace(', ', '-').replace(' ', '_')}.json"
    if path.exists():
        return json.loads(path.read_text())
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from transformers.utils import logging

    from trainers import VPOConfig, VPOTrainer
    from vpo.looped import FixedDepth, FixedPoint
    from vpo.tasks import get_task

    disable_progress_bars()
    logging.disable_progress_bar()
    task = get_task("maze")
    name, answers = OBJECTIVES[objective]
    group = sizes.answers // answers
    steps = 2 + sizes.tokens // (sizes.prompts * sizes.answers * 4)
    mazes = islice(task.examples("train"), 4000, None)
    rows = [task.row(next(mazes), answers) for _ in range(sizes.prompts * steps)]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    model.depth_policy = FixedDepth(CAP) if depth == "fixed cap" else FixedPoint(tol=tol, cap=CAP)
    arguments = VPOConfig(
        **settings(folder / path.stem, seed),
        objective=name,
        num_answers=answers,
        answer_tag=task.tag,
        ask_for_answers=False,
        max_generated_tokens=sizes.tokens,
        max_steps=steps,
        per_device_train_batch_size=sizes.prompts * group,
        num_generations=group,
        max_completion_length=task.completion_tokens(answers),
        learning_rate=5e-4,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=10,
        logging_steps=1,
        log_rollouts=False,
        depth_training="fixed" if depth == "chosen, replay off" else "replay",
    )
    trainer = VPOTrainer(model, task.reward_funcs, arguments, Dataset.from_list(rows), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    kept = {
        "tokens": "generated_tokens",
        "reward": "reward",
        "depth": "loops/mean_depth",
        "gap": "sampling/replay_logp_diff/max",
        "drift": "loops/depth_drift",
        "pool_l1": "set/pool_l1",
        "seconds": "step_time",
    }
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    curve = {short: [entry.get(long) for entry in log] for short, long in kept.items()}
    result = {"objective": objective, "depth": depth, "seed": seed, "tol": tol, "curve": curve}
    trainer.save_model(str(path.with_suffix("")))  # before the curve, which says that the arm is done
    path.write_text(json.dumps(result))
    print(f"  {objective}, {depth}, seed {seed}: reward {statistics.fmean(curve['reward'][-10:]):.3f}", flush=True)
    return result


def level(run: dict[str, Any], low: float, high: float) -> float:
    """Mean reward over the steps between two shares of the token budget."""
    tokens, reward = run["curve"]["tokens"], run["curve"]["reward"]
    inside = [r for t, r in zip(tokens, reward, strict=True) if low * tokens[-1] <= t <= high * tokens[-1]]
    return statistics.fmean(inside)


def gained(run: dict[str, Any], start: float) -> float:
    """Mean reward over the whole run above ``start``: the area under the learning curve, per token."""
    return level(run, 0.0, 1.0) - start


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    sizes = Sizes(8, 600, 2, 6, 4, 10.0) if options.quick else Sizes()
    seeds = [0] if options.quick else [0, 1, 2]
    folder = FOLDER / ("quick" if options.quick else "full")
    with workers(2) as pool:
        starts = [pool.submit(warm_start, seed, sizes, folder / f"seed{seed}") for seed in seeds]
        tols = [start.result()[1] for start in starts]
        jobs = [
            pool.submit(train_arm, objective, depth, seed, sizes, folder / f"seed{seed}")
            for seed in seeds
            for objective in OBJECTIVES
            for depth in DEPTHS
        ]
        runs = [job.result() for job in jobs]
    print(f"\ntolerances {tols} at {sizes.target_kl} nats, cap {CAP}; mean (standard error) over seeds {seeds}")
    print(
        f"{'':6}{'depth':20} {'reward: first tenth':>20} {'middle':>14} {'last tenth':>14} {'loops':>12} {'last':>6}"
        f" {'max gap, nats':>14}"
    )
    targets, by = [], {(r["objective"], r["depth"], r["seed"]): r for r in runs}
    for objective in OBJECTIVES:
        for depth in DEPTHS:
            own = [by[objective, depth, seed] for seed in seeds]
            cells = [str(mean_and_error([level(r, a, b) for r in own])) for a, b in ((0, 0.1), (0.45, 0.55), (0.9, 1))]
            loops = [statistics.fmean(r["curve"]["depth"]) for r in own]
            last = statistics.fmean(statistics.fmean(r["curve"]["depth"][-5:]) for r in own)
            gap = max(g for r in own for g in r["curve"]["gap"] if g is not None)
            print(
                f"{objective:6}{depth:20} {cells[0]:>20} {cells[1]:>14} {cells[2]:>14} "
                f"{mean_and_error(loops)!s:>12} {last:6.2f} {gap:14.2g}"
            )
        ratios = []
        for seed in seeds:
            start = level(by[objective, "fixed cap", seed], 0.0, 0.05)
            at_cap = gained(by[objective, "fixed cap", seed], start)
            ratios.append(gained(by[objective, "chosen, replayed", seed], start) / at_cap if at_cap else 0.0)
        replayed = [g for s in seeds for g in by[objective, "chosen, replayed", s]["curve"]["gap"] if g is not None]
        off = [g for s in seeds for g in by[objective, "chosen, replay off", s]["curve"]["gap"] if g is not None]
        print(f"{objective}: reward gained over the run, chosen / fixed: {mean_and_error(ratios)}")
        targets += [
            Target(f"{objective}: reward gained per token, chosen depth / fixed cap", statistics.fmean(ratios), 0.95),
            Target(f"{objective}: largest gap of replayed log-probabilities, nats", max(replayed), 1e-4, False),
            Target(f"{objective}: largest gap with replay off, nats", max(off), 1e-2),
        ]
    return finish("depth_rl", options.quick, {"sizes": asdict(replace(sizes)), "seeds": seeds, "runs": runs}, targets)


if __name__ == "__main__":
    sys.exit(main())
