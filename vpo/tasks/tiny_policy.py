"""A looped policy small enough to learn a task in minutes on one CPU core, and what it is warm-started on."""

from __future__ import annotations

import random
from itertools import islice

import torch
from datasets import Dataset
from transformers import LlamaConfig, PreTrainedTokenizerFast

from vpo.looped import LoopedConfig, LoopedForCausalLM
from vpo.tasks.tiny_task import TinyTask
from vpo.tasks.word_tokenizer import word_tokenizer


def tiny_policy(
    task: TinyTask, num_answers: int, seed: int, width: int = 64, num_loops: int = 2
) -> tuple[LoopedForCausalLM, PreTrainedTokenizerFast]:
    """A fresh looped policy (prelude 1, core 2, coda 1) and its word-level tokenizer.

    Args:
        task: Fixes vocabulary and prompt length.
        num_answers: Most answers a completion will be asked for.
        seed: Seed of the initial weights.
        width: Width of the state, a multiple of 4 (two heads).
        num_loops: Loops of the core.
    """
    tokenizer = word_tokenizer(task.vocabulary(num_answers))
    # Search lets the policy continue a parent: the beginning of an answer stands before the completion.
    longest = task.prompt_tokens + task.completion_tokens(1) + task.completion_tokens(num_answers)
    layers = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    # Learned positions: the prompt has a fixed form, and a word means what it means by where it stands.
    config = LoopedConfig(layer_config=layers, num_loops=num_loops, learned_positions=longest)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoopedForCausalLM(config), tokenizer


def warm_start_rows(
    task: TinyTask, num_rows: int, num_examples: int, num_answers: int, seed: int, single_share: float = 0.25
) -> Dataset:
    """Prompts and completions of the task's teacher, as TRL's ``SFTTrainer`` takes them.

    ``single_share`` of the rows ask for one answer and the rest for ``num_answers``, so that single-answer and
    multi-answer training can start from the same weights. Every row draws its answers anew.
    """
    rng = random.Random(f"vpo-warm-start-{seed}")
    examples = list(islice(task.examples("train"), num_examples))
    rows = []
    for i in range(num_rows):
        example = examples[i % num_examples]
        count = 1 if rng.random() < single_share else num_answers
        completion = task.teacher_completion(example, count, rng)
        rows.append({"prompt": task.prompt(example, count), "completion": completion})
    return Dataset.from_list(rows)
