"""Started by test_vllm.py: a run that samples with a real vLLM engine in this process, and what it sampled and paid.

From step UNSYNCED on, the engine keeps the weights it has: the control that shows what the test looks for.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback

PROMPTS = {"prompt": ["go red", "go blue", "now green", "now red"], "target": ["red", "blue", "green", "red"]}
MAX_COMPLETION, STEPS, UNSYNCED, CHECKPOINT = 20, 8, 4, 2
ARMS: dict[str, dict[str, Any]] = {
    "to_go": {"answer_credit": "to_go", "mask_truncated_completions": True, "seed": 1},
    "set": {"answer_credit": "set", "bf16": True, "vllm_importance_sampling_mode": "token_truncate", "seed": 2},
    "transformers": {"answer_credit": "to_go", "use_vllm": False, "seed": 1},
    "server": {"vllm_mode": "server", "seed": 3, "max_steps": 3},
}
LOOPED: dict[str, dict[str, Any]] = {  # with a looped policy, see test_vllm_looped.py
    "replay": {"answer_credit": "to_go", "seed": 1},
    "fixed": {"answer_credit": "to_go", "seed": 1, "depth_training": "fixed", "max_steps": 2},
}


class StopSyncing(TrainerCallback):
    """Leave the engine with the weights of the step before UNSYNCED."""

    trainer: Any

    def on_step_begin(self, args, state, control, **kwargs):
        if args.use_vllm and state.global_step == UNSYNCED:
            self.trainer.vllm_generation.sync_weights = lambda: None


def target_and_one(completions, target, **kwargs):
    return [(float(t in c.split()), float("one" in c.split())) for c, t in zip(completions, target, strict=True)]


def short(completions, **kwargs):
    return [1 / (1 + len(c.split())) for c in completions]


def keep_the_weights_of_a_server() -> None:
    """They go there by NCCL, which needs a GPU."""
    from trl.generation.vllm_client import VLLMClient

    VLLMClient.init_communicator = VLLMClient.update_named_params = lambda *args, **kwargs: None


def main(policy: str, out: Path, arm: str, server: str | None) -> None:
    chosen = {**ARMS, **LOOPED}[arm]
    if chosen.get("use_vllm", True):
        keep_the_weights_of_a_server()
    from trainers import VPOConfig, VPOTrainer

    torch.set_num_threads(1)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    options = {
        "output_dir": str(out),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_steps": CHECKPOINT,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": CHECKPOINT,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 8 // world,
        "per_device_eval_batch_size": 8 // world,
        "num_generations": 4,
        "num_generations_eval": 2,
        "max_completion_length": MAX_COMPLETION,
        "max_steps": STEPS,
        "num_answers": 3,
        "ask_for_answers": False,
        "use_vllm": True,
        "vllm_server_base_url": server,
        **chosen,
    }
    stop_syncing = StopSyncing()
    trainer = VPOTrainer(
        model=policy,
        reward_funcs=[target_and_one, short],
        args=VPOConfig(**options),
        train_dataset=Dataset.from_dict(PROMPTS),
        eval_dataset=Dataset.from_dict(PROMPTS),
        processing_class=AutoTokenizer.from_pretrained(policy),
        callbacks=[stop_syncing],
    )
    stop_syncing.trainer = trainer
    sampled: dict[str, list[list[list[int]]]] = {"train": [], "eval": []}
    losses: list[dict[str, Any]] = []
    generate, compute_loss = trainer._generate_single_turn, trainer._compute_loss

    def spy_on_generation(*args, **kwargs):
        completion_ids, logprobs = generate(*args, **kwargs)
        sampled["train" if trainer.model.training else "eval"].append([list(ids) for ids in completion_ids])
        return completion_ids, logprobs

    def spy_on_loss(model, inputs):
        loss = compute_loss(model, inputs)
        if model.training and "importance_sampling_ratio" in inputs:
            names = ("advantages", "importance_sampling_ratio", "completion_mask", "num_items_in_batch")
            losses.append({"loss": loss.item(), **{name: inputs[name].tolist() for name in names}})
        return loss

    trainer._generate_single_turn, trainer._compute_loss = spy_on_generation, spy_on_loss
    trainer.train(resume_from_checkpoint=any(out.glob("checkpoint-*")))
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    has_engine = chosen.get("use_vllm", True) and chosen.get("vllm_mode") != "server"
    engine = trainer.vllm_generation.llm.llm_engine.model_config if has_engine else None
    facts = {
        "log": trainer.state.log_history,
        "sampled": sampled,
        "losses": losses,
        "weights": weights.tolist(),
        "dtype": str(engine.dtype) if engine else None,
        "eos": trainer.eos_token_ids,
    }
    (out / f"facts{trainer.accelerator.process_index}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], *(sys.argv[4:] or [None]))
