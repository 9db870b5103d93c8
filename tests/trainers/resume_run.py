"""Started by test_resume.py: a run that kills itself in the middle of a step, or goes on from a checkpoint."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaConfig, TrainerCallback

from trainers import VPOConfig, VPOTrainer
from vpo.looped import FixedPoint, LoopedConfig, LoopedForCausalLM
from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = ["go", "red", "blue", "green", *"abcdefgh", *[f"<{s}answer_{i}>" for i in (1, 2) for s in ("", "/")]]
STEPS = 7


class KillAt(TrainerCallback):
    """SIGKILL after the first half of the step's gradient accumulation."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_substep_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def long(completions, **kwargs):
    return [len(c.split()) / 12 for c in completions]


def colours(completions, **kwargs):
    return [len({"red", "blue", "green"} & set(c.split())) / 3 for c in completions]


def main(folder: Path, num_iterations: int, kill_at: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = word_tokenizer(WORDS)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    layers = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=0, eos_token_id=2, **sizes)
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, core_layers=1))
    model.depth_policy = FixedPoint(tol=0.3, cap=4)
    args = VPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=1,
        save_total_limit=2,
        logging_steps=1,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_iterations=num_iterations,
        num_generations=4,
        max_completion_length=14,
        max_steps=STEPS,
        num_answers=1,
        diversity="darling",
        seed=5,
    )
    trainer = VPOTrainer(
        model=model,
        reward_funcs=[long, colours],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [f"go {c}" for c in "abcdefgh"]}),
        processing_class=tokenizer,
        callbacks=[KillAt(kill_at)] if kill_at >= 0 else None,
    )
    trainer.train(resume_from_checkpoint=any(folder.glob("checkpoint-*")))
    weights = torch.cat([p.detach().flatten() for p in trainer.accelerator.unwrap_model(trainer.model).parameters()])
    torch.save(weights, folder / "weights.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
