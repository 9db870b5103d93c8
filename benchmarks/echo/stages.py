"""The stages of one seed: warm start, arms, answers to a held-out panel. Each leaves ``done.json`` and is not repeated.

A stage that was killed goes on from its last checkpoint. The base and every arm run in one process with one thread.
"""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from echo.collapse import watched
from echo.plan import QUIET, SCRIPT_KEYS, Arm, Plan
from vpo.cli.study.training import common_arguments, finish, last_whole_checkpoint, quiet


def done(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """What a stage left, if it was made with these settings."""
    path = folder / "done.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    if found["fingerprint"] != fingerprint:
        raise ValueError(
            f"{folder} was made with other settings: expected the recipes as they were. Delete it to train anew."
        )
    return found


def warm_start(plan: Plan, root: Path) -> dict[str, Any]:
    """The policy that all arms start from, in ``base/model``, and its answers to the panel."""
    folder = root / "base"
    if found := done(folder, plan.fingerprint(None)):
        return found
    from trl import SFTConfig

    from trainers import WarmStartTrainer
    from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows

    quiet()
    start, settings = time.process_time(), plan.base
    answers, steps, batch = settings["num_answers"], settings["steps"], settings["batch"]
    model, tokenizer = tiny_policy(plan.task, answers, plan.seed, settings["width"], settings["num_loops"])
    rows = warm_start_rows(
        plan.task, settings["rows"], settings["examples"], answers, plan.seed, settings["single_share"]
    )
    arguments = SFTConfig(
        **common_arguments(folder, plan.seed),
        save_steps=max(10, steps // 4),
        per_device_train_batch_size=batch,
        max_steps=steps,
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=min(30, steps // 10),
        logging_steps=100,
        max_length=None,
    )
    trainer = WarmStartTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    trained = time.process_time() - start
    trainer.save_model(str(folder / "model"))
    tokenizer.save_pretrained(folder / "model")
    facts: dict[str, Any] = {"fingerprint": plan.fingerprint(None), "cpu_seconds": trained}
    for count in (1, answers):
        facts[f"panel_{count}"] = draw_panel(plan, folder / "model", count, "base")
    facts["panel_cpu_seconds"] = time.process_time() - start - trained
    finish(folder, facts)
    return facts


def train_arm(plan: Plan, arm: Arm, root: Path) -> dict[str, Any]:
    """One arm's run: measures of every step, alarms, and the answers of its policy to the panel."""
    folder = root / arm.name.replace(", ", "-").replace(" ", "_")
    if found := done(folder, plan.fingerprint(arm)):
        return {**found, **watched(folder / "rollouts", plan.arm_task(arm).label, plan.looks(arm))}
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

    from trainers import VPOConfig, VPOTrainer

    quiet()
    start, recipe, task = time.process_time(), plan.recipe(arm), plan.arm_task(arm)
    count = recipe["num_answers"]
    own = {key: value for key, value in recipe.items() if key not in SCRIPT_KEYS}
    own |= {
        **common_arguments(folder, plan.seed),
        **QUIET,
        "save_steps": 2 if plan.quick else 16,
        "component_weights": list(task.w_star),
    }
    rows = [task.row(example, count) for example in islice(task.examples("train"), recipe["task_rows"])]
    base = root / "base" / "model"
    trainer = VPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        reward_funcs=task.reward_funcs,
        args=VPOConfig(**own),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_whole_checkpoint(folder)
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model(str(folder / "model"))
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    facts = {
        "fingerprint": plan.fingerprint(arm),
        "cpu_seconds": time.process_time() - start,
        "resumed": checkpoint is not None,  # then they are those since the last start
        "tokens": trainer.token_budget.generated,
        "kl": [entry.get("kl") for entry in log],
        "panel": draw_panel(plan, folder / "model", count, arm.name),
    }
    facts["panel_cpu_seconds"] = time.process_time() - start - facts["cpu_seconds"]
    finish(folder, facts)
    return {**facts, **watched(folder / "rollouts", task.label, plan.looks(arm))}


def draw_panel(plan: Plan, model: Path, count: int, name: str) -> dict[str, Any]:
    """Formats and correctness of a policy's answers to held-out problems: (P, C, M) nested lists.

    A missing answer has format "empty" and is wrong.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from search.model_sampler import ModelSampler
    from search.records import Request
    from search.seeds import request_seed

    task, prompts = plan.task, plan.base["panel_prompts"]
    completions = -(-plan.base["panel_answers"] // count)
    examples = list(islice(task.examples("test"), prompts))
    rows = [task.row(example, count) for example in examples]
    sampler = ModelSampler(
        AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model), batch_size=512
    )
    requests = [
        Request(
            id=i * completions + c,
            prompt=row["prompt"],
            seed=request_seed(plan.seed, f"panel-{name}-{i}", c),
            max_new_tokens=task.completion_tokens(count),
        )
        for i, row in enumerate(rows)
        for c in range(completions)
    ]
    formats = np.full((prompts, completions, count), "empty", dtype=object)
    correct = np.zeros((prompts, completions, count))
    for generation in sampler.sample(requests):
        i, c = divmod(generation.request_id, completions)
        for j, answer in enumerate(task.answer_format(count).parse(generation.text).answers):
            formats[i, c, j] = task.label(answer, rows[i])
            correct[i, c, j] = task.score(answer, rows[i])[0]
    return {"formats": formats.tolist(), "correct": correct.astype(int).tolist()}
