"""Real TRL trainers on a tiny model whose completions are scripted: formats go where a test wants them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM

from vpo.tasks.word_tokenizer import word_tokenizer

TEXTS = {
    "python": "def solution ( ) : return {n}",
    "tool call": "<llm-code> {n} </llm-code>",
    "prose": "The answer is {n}",
}
NUMBERS = ("one", "two", "three", "four", "five", "six")
PROMPTS = [f"go {a} {b}" for a in NUMBERS for b in NUMBERS]
WORDS = ["def", "solution", "(", ")", ":", "return", "<llm-code>", "</llm-code>", "The", "answer", "is", "go", *NUMBERS]
WORDS += [f"<{slash}answer_{i}>" for i in (1, 2) for slash in ("", "/")]
Shares = Callable[[int], tuple[float, float, float]]


def tokenizer():
    return word_tokenizer(WORDS)


def policy() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def collapsing(step: int) -> tuple[float, float, float]:
    """To python from the third step on."""
    return (0.4, 0.3, 0.3) if step < 3 else (0.98, 0.01, 0.01)


def steady(step: int) -> tuple[float, float, float]:
    return (0.4, 0.3, 0.3)


def even(completions, **kwargs):
    return [float("two" in text or "four" in text or "six" in text) for text in completions]


def rollouts(shares: Shares, answers: int = 1):
    """Function that TRL calls instead of generating."""

    def write(prompts, trainer) -> dict[str, Any]:
        step, words = trainer.state.global_step, trainer.processing_class
        rng = random.Random(1000 * step + trainer.accelerator.process_index)
        rows = []
        for _ in prompts:
            parts = []
            for number in range(1, answers + 1):
                (kind,) = rng.choices(list(TEXTS), shares(step))
                text = TEXTS[kind].format(n=rng.choice(NUMBERS))
                parts.append(text if answers == 1 else f"<answer_{number}> {text} </answer_{number}>")
            rows.append([*words(" ".join(parts))["input_ids"], 2])
        return {
            "prompt_ids": [words(prompt)["input_ids"] for prompt in prompts],
            "completion_ids": rows,
            "logprobs": [[0.0] * len(row) for row in rows],
        }

    return write


def make(
    trainer_class: Any,
    config_class: Any,
    folder: Path,
    shares: Shares = collapsing,
    more: Sequence[Any] = (),
    **options: Any,
):
    """A trainer on 32 prompts a step, 4 completions each; one that takes no script (RLOO) samples from the policy.

    It is paid by `even`, and by ``more`` reward functions.
    """
    answers = options.get("num_answers", 1)
    settings = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 128,
        "num_generations": 4,
        "max_completion_length": 32,
        "max_steps": 7,
        "seed": 0,
    }
    args = config_class(**{**settings, **options})
    model: Any = policy()
    if args.beta:  # the reference model is loaded from where the policy came
        model.save_pretrained(folder / "start")
        model = str(folder / "start")
    scripted = "rollout_func" in inspect.signature(trainer_class).parameters or trainer_class.__name__ == "VPOTrainer"
    return trainer_class(
        model=model,
        reward_funcs=[even, *more],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}),
        eval_dataset=Dataset.from_dict({"prompt": PROMPTS[:4]}),
        processing_class=tokenizer(),
        **({"rollout_func": rollouts(shares, answers)} if scripted else {}),
    )
