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
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device import choose_device, finish, forget, gib, parser, peak_gib, run
from targets import Target
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PrinterCallback, TrainerCallback

from eval.bootstrap import mean_and_error
from search import ModelSampler
from vpo.cli.study.checks import acceptance
from vpo.cli.study.sampling import draw_pool, pool_file
from vpo.cli.study.settings import QUICK, Settings
from vpo.cli.study.tables import KS, PolicyCurves, blind_curves, oracle_values, pool_curves
from vpo.cli.study.training import finish as mark_done
from vpo.cli.study.training import last_whole_checkpoint, quiet
from vpo.looped import LoopedConfig, LoopedForCausalLM, RandomDepth
from vpo.tasks.tiny_policy import warm_start_rows
from vpo.tasks.word_tokenizer import word_tokenizer

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
SMALL: dict[str, Any] = QUICK | {"warm_start_steps": 4, "generated_tokens": 2000, "eval_examples": 4}


@dataclass(frozen=True)
class Plan:
    """One seed's study, and the size of its policy."""

    settings: Settings
    width: int = 1024
    layers: tuple[int, int, int] = (6, 12, 6)
    num_loops: int = 2


def policy(plan: Plan) -> tuple[LoopedForCausalLM, Any]:
    task, answers = plan.settings.task, plan.settings.num_answers
    tokenizer = word_tokenizer(task.vocabulary(answers))
    longest = task.prompt_tokens + task.completion_tokens(1) + task.completion_tokens(answers)
    prelude, core, coda = plan.layers
    layers = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.width,
        intermediate_size=8 * plan.width // 3 // 32 * 32,
        num_hidden_layers=prelude + core + coda,
        num_attention_heads=max(2, plan.width // 64),
        num_key_value_heads=max(2, plan.width // 64),
        max_position_embeddings=longest,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    parts = {"prelude_layers": prelude, "core_layers": core, "coda_layers": coda, "num_loops": plan.num_loops}
    torch.manual_seed(plan.settings.seed)
    return LoopedForCausalLM(LoopedConfig(layer_config=layers, learned_positions=longest, **parts)), tokenizer


def shared(folder: Path, plan: Plan, asked: argparse.Namespace) -> dict[str, Any]:
    """Arguments of both stages."""
    return {
        "output_dir": str(folder),
        "use_cpu": asked.tiny,
        "bf16": not asked.tiny,
        "gradient_checkpointing": False,
        "save_strategy": "steps",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": plan.settings.seed,
    }


def micro_batch(completions: int, most: int) -> dict[str, int]:
    """A step's completions in as many equal passes as it takes for at most ``most`` in one."""
    passes = next(n for n in range(1, completions + 1) if completions % n == 0 and completions // n <= most)
    return {"per_device_train_batch_size": completions // passes, "gradient_accumulation_steps": passes}


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


class Lines(TrainerCallback):
    """A line every so many steps: the trainers' own are one for each."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        shown = {name: value for name, value in (logs or {}).items() if name in ("loss", "reward", "generated_tokens")}
        if shown and state.global_step % self.every == 0:
            print(f"    step {state.global_step}: {shown}", flush=True)


def watched(trainer: Any, every: int) -> None:
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Lines(every))


def warm_start(plan: Plan, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from trl import SFTConfig

    from trainers import WarmStartTrainer

    settings, work = plan.settings, folder / "checkpoints"
    model, tokenizer = policy(plan)
    steps, batch = settings.warm_start_steps, settings.warm_start_batch
    examples, answers = settings.train_examples, settings.num_answers
    rows = warm_start_rows(settings.task, steps * batch // 4, examples, answers, settings.seed)  # each is seen 4 times
    arguments = SFTConfig(
        **shared(work, plan, asked),
        **micro_batch(batch, asked.batch),
        save_steps=max(2, steps // 20),
        max_steps=steps,
        learning_rate=settings.warm_start_lr,
        lr_scheduler_type="cosine",
        warmup_steps=min(200, steps // 10),
        logging_steps=50,
        max_length=None,
    )
    data = {"train_dataset": rows, "processing_class": tokenizer}
    trainer = WarmStartTrainer(model=model, args=arguments, depth_policy=RandomDepth(1, plan.num_loops), **data)
    watched(trainer, 50)
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(work))
    trainer.save_model(str(folder / "model"))
    return {"parameters": model.num_parameters()}


def train_arm(plan: Plan, asked: argparse.Namespace, start: Path, arm: Any, folder: Path) -> dict[str, Any]:
    from datasets import Dataset

    from trainers import VPOConfig, VPOTrainer

    settings, task, work = plan.settings, plan.settings.task, folder / "checkpoints"
    group = settings.answers_per_prompt // arm.num_answers
    steps = 2 + settings.generated_tokens // (settings.prompts_per_step * settings.answers_per_prompt * 4)
    examples = islice(task.examples("train"), settings.train_examples, None)
    rows = [task.row(each, arm.num_answers) for each in islice(examples, settings.prompts_per_step * steps)]
    arguments = VPOConfig(
        **shared(work, plan, asked),
        **micro_batch(settings.prompts_per_step * group, asked.batch),
        save_steps=10,
        objective=arm.objective,
        objective_options=arm.options or None,
        num_answers=arm.num_answers,
        answer_tag=task.tag,
        ask_for_answers=False,  # the prompt says how many it wants
        max_generated_tokens=settings.generated_tokens,
        max_steps=steps,
        num_generations=group,
        max_completion_length=task.completion_tokens(arm.num_answers),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=10,
        logging_steps=1,
        log_rollouts=False,
    )
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    trainer = VPOTrainer(model, task.reward_funcs, arguments, Dataset.from_list(rows), processing_class=tokenizer)
    watched(trainer, 10)
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(work))
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    if not all(np.isfinite(float(entry["loss"])) for entry in log):
        raise ValueError(f"{arm.name}: the loss is not finite. Lower the learning rate in LARGE and delete {folder}.")
    trainer.save_model(str(folder / "model"))
    return {"steps": trainer.state.global_step, "reward": [entry["reward"] for entry in log]}


def draw(plan: Plan, seed_folder: Path, name: str, source: Path, device: torch.device, folder: Path) -> dict[str, Any]:
    """Pools of a policy's answers, in the files that the study's tables read."""
    settings = plan.settings
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto").to(device)
    sampler = ModelSampler(model, AutoTokenizer.from_pretrained(source), batch_size=256)
    own = settings.num_answers if name == "base" else settings.arm(name).num_answers
    for count, shuffled in [(own, False), (own, True), *([(1, False)] if name == "base" else [])]:
        rewards, answers = draw_pool(settings, sampler, name, count, shuffled)
        path = pool_file(seed_folder, name, count, shuffled)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, rewards=rewards, answers=answers)
    return {}


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
