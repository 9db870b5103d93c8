"""The two training stages: the supervised warm start, and reinforcement learning of one arm."""

from __future__ import annotations

import json
import os
import shutil
import time
from itertools import islice
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from vpo.cli import saying
from vpo.cli.study.settings import Arm, Settings


class ProgressLines(TrainerCallback):
    """Reports progress to the parent process: one JSON line a step on standard output.

    Args:
        total: Units of work.
        done: Function of the trainer state giving the units done; by default the steps.
    """

    def __init__(self, total: int, done: Any = None) -> None:
        self.total = total
        self.done = done or (lambda state: state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print one line."""
        say(min(self.done(state), self.total), self.total)


def say(done: float, total: float) -> None:
    """Tell the parent process how far this stage is."""
    saying.say(json.dumps({"done": done, "total": total}), flush=True)


def common_arguments(folder: Path, seed: int) -> dict[str, Any]:
    """Arguments that both stages share: CPU, fp32, resumable every few seconds, quiet."""
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,  # the model is tiny: recomputing costs more than it saves
        "save_strategy": "steps",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
    }


def warm_start(run: Path, settings: Settings) -> None:
    """Train the policy that every arm starts from; leaves ``warm_start/model``."""
    from trl import SFTConfig

    from trainers.warm_start import WarmStartTrainer
    from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows

    quiet()
    folder = run / "warm_start"
    model, tokenizer = tiny_policy(settings.task, settings.num_answers, settings.seed)
    rows = warm_start_rows(
        settings.task,
        num_rows=settings.warm_start_steps * settings.warm_start_batch,
        num_examples=settings.train_examples,
        num_answers=settings.num_answers,
        seed=settings.seed,
    )
    arguments = SFTConfig(
        **common_arguments(folder, settings.seed),
        save_steps=max(50, settings.warm_start_steps // 4),
        per_device_train_batch_size=settings.warm_start_batch,
        max_steps=settings.warm_start_steps,
        learning_rate=settings.warm_start_lr,
        lr_scheduler_type="cosine",
        warmup_steps=min(30, settings.warm_start_steps // 10),
        logging_steps=20,
        max_length=None,
    )
    trainer = WarmStartTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[ProgressLines(settings.warm_start_steps)],
    )
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    trainer.save_model(str(folder / "model"))
    finish(folder, {"seconds": time.perf_counter() - started, "log": trainer.state.log_history})


def train_arm(run: Path, settings: Settings, arm: Arm) -> None:
    """Reinforcement learning of one arm; leaves its ``model`` and ``rollouts``."""
    from datasets import Dataset

    from trainers import VPOConfig, VPOTrainer

    quiet()
    folder = run / "arms" / arm.name
    start = run / "warm_start" / "model"
    task = settings.task
    group = settings.answers_per_prompt // arm.num_answers
    # No completion is shorter than two tokens, and none of this study under six on average: rows for every step.
    most_steps = 2 + settings.generated_tokens // (settings.prompts_per_step * settings.answers_per_prompt * 4)
    examples = islice(task.examples("train"), settings.train_examples, settings.train_examples + 10_000)
    rows = [task.row(each, arm.num_answers) for each in islice(examples, settings.prompts_per_step * most_steps)]
    arguments = VPOConfig(
        **common_arguments(folder, settings.seed),
        **arm.config,
        save_steps=20,
        objective=arm.objective,
        objective_options=arm.options or None,
        num_answers=arm.num_answers,
        answer_tag=task.tag,
        ask_for_answers=False,  # the prompt says how many it wants
        max_generated_tokens=settings.generated_tokens,
        max_steps=most_steps,
        per_device_train_batch_size=settings.prompts_per_step * group,
        num_generations=group,
        max_completion_length=task.completion_tokens(arm.num_answers),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=10,
        logging_steps=1,
    )
    trainer = VPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(start, use_safetensors=True),
        reward_funcs=task.reward_funcs,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(start),
    )
    budget = trainer.token_budget
    trainer.add_callback(ProgressLines(settings.generated_tokens, lambda state: budget.generated))
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    trainer.save_model(str(folder / "model"))
    facts = {
        "seconds": time.perf_counter() - started,
        "steps": trainer.state.global_step,
        "generated_tokens": budget.generated,
        "log": trainer.state.log_history,
    }
    finish(folder, facts)


def last_whole_checkpoint(folder: Path) -> str | None:
    """Newest checkpoint that was written to its end; others, left by a kill, are deleted.

    The trainer writes a checkpoint in place, ``trainer_state.json`` last, so the newest folder may be half of one.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for path in found:
        try:
            json.loads((path / "trainer_state.json").read_text())
        except (OSError, ValueError):
            shutil.rmtree(path)
        else:
            return str(path)
    return None


def quiet() -> None:
    """Keep libraries from drawing their own bars: the parent process draws one for the stage."""
    import datasets

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


def finish(folder: Path, facts: dict[str, Any]) -> None:
    """Mark a stage as done, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "done.json.tmp"
    temporary.write_text(json.dumps(facts))
    os.replace(temporary, folder / "done.json")
