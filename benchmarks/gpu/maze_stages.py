"""The stages of one seed of benchmarks/gpu/maze_large.py: warm start, arms, answers to held-out mazes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PrinterCallback, TrainerCallback
from trl import SFTConfig

from search import ModelSampler
from trainers import VPOConfig, VPOTrainer, WarmStartTrainer
from vpo.cli.study.sampling import draw_pool, pool_file
from vpo.cli.study.settings import Settings
from vpo.cli.study.training import last_whole_checkpoint
from vpo.looped import LoopedConfig, LoopedForCausalLM, RandomDepth
from vpo.tasks.tiny_policy import warm_start_rows
from vpo.tasks.word_tokenizer import word_tokenizer


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
    watched(trainer, 1 if asked.tiny else 50)
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(work))
    trainer.save_model(str(folder / "model"))
    return {"parameters": model.num_parameters()}


def train_arm(plan: Plan, asked: argparse.Namespace, start: Path, arm: Any, folder: Path) -> dict[str, Any]:
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
    watched(trainer, 1 if asked.tiny else 10)
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
