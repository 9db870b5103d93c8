"""A pipeline of seconds: a random Llama of four narrow layers, a task of two components, every stage a step or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from vpo.tasks.word_tokenizer import word_tokenizer

TASK = """
from vpo.tasks import task

def rows(split):
    for i in range(40):
        yield {"prompt": [{"role": "user", "content": f"say {'red' if i % 2 else 'fox'} {split} w{i}"}], "word": "red"}

@task(components=["red", "short"], data=rows, tag="x")
def mine(answer, row):
    return float(row["word"] in answer), 1 / (1 + len(answer))

def examples(split, size, seed):
    for i in range(size):
        word = "red" if (i + seed) % 2 else "fox"
        yield [{"role": "user", "content": f"say {word} w{i}"}], f"<x_1> {word} </x_1> <x_2> red </x_2>"
"""


def tiny_model(folder: Path) -> Path:
    """A random source, saved with a tokenizer of words."""
    tags = [f"<{slash}x_{i}>" for i in (1, 2) for slash in ("", "/")]
    words = ["say", "red", "fox", "train", "test", *(f"w{i}" for i in range(40)), *tags]
    tokenizer = word_tokenizer(words)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_recipe(folder: Path, **changes: dict[str, Any]) -> Path:
    """Model, task and recipe in ``folder``; ``changes`` are laid over the stages. The run goes to ``folder/run``."""
    tiny_model(folder / "source")
    (folder / "mine.py").write_text(TASK)
    small = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_steps": 1, "logging_steps": 1}
    recipe: dict[str, Any] = {
        "out": str(folder / "run"),
        "model": {"name": str(folder / "source")},
        "convert": {"prelude": 1, "core": 2, "coda": 1, "loops": 2},
        "heal": {
            **small, "texts": f"{folder / 'mine.py'}:examples", "rows": 64, "cap": 2, "max_steps": 40,
            "learning_rate": 1e-2, "save_steps": 10,
            "per_device_train_batch_size": 4,
        },
        "train": {
            **small, "task": str(folder / "mine.py"), "task_rows": 12, "num_answers": 2, "ask_for_answers": False,
            "num_generations": 4, "per_device_train_batch_size": 4, "generation_batch_size": 4, "max_steps": 4,
            "max_completion_length": 8, "learning_rate": 1e-3, "disable_tqdm": True, "save_total_limit": 1,
        },
        "evaluate": {"prompts": 4, "completions": 2, "batch_size": 4},
        "monitor": {},
        "search": {"count": 2, "seeds": 1, "budget": 24, "max_new_tokens": 8},
    }  # fmt: skip
    for stage, values in changes.items():
        recipe[stage] = {**recipe.get(stage, {}), **values}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
