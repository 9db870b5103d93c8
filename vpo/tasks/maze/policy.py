"""A looped policy small enough to learn mazes in minutes on one CPU core, and what it is warm-started on."""

from __future__ import annotations

import random
from itertools import islice

import torch
from datasets import Dataset
from transformers import LlamaConfig, PreTrainedTokenizerFast

from vpo.looped import LoopedConfig, LoopedForCausalLM
from vpo.tasks.maze.task import MazeTask
from vpo.tasks.word_tokenizer import word_tokenizer


def tiny_policy(
    task: MazeTask, num_answers: int, seed: int, width: int = 64, num_loops: int = 2
) -> tuple[LoopedForCausalLM, PreTrainedTokenizerFast]:
    """A fresh looped policy (prelude 1, core 2, coda 1) and its word-level tokenizer.

    Args:
        task: Mazes and notation; fixes vocabulary and prompt length.
        num_answers: Most answers a completion will be asked for.
        seed: Seed of the initial weights.
        width: Width of the state, a multiple of 4 (two heads).
        num_loops: Loops of the core.
    """
    tokenizer = word_tokenizer(task.vocabulary(num_answers))
    # Search lets the policy continue a parent: the beginning of a route stands before the completion.
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
    # Learned positions: the prompt is a grid of fixed size, and a cell is where it stands.
    config = LoopedConfig(layer_config=layers, num_loops=num_loops, learned_positions=longest)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoopedForCausalLM(config), tokenizer


def warm_start_rows(
    task: MazeTask, num_rows: int, num_mazes: int, num_answers: int, seed: int, single_share: float = 0.25
) -> Dataset:
    """Prompts and completions of random feasible routes, as TRL's ``SFTTrainer`` takes them.

    ``single_share`` of the rows ask for one route and the rest for ``num_answers``, so that single-answer and
    multi-answer training can start from the same weights. Every row draws its routes anew.
    """
    rng = random.Random(f"vpo-warm-start-{seed}")
    mazes = list(islice(task.examples("train"), num_mazes))
    rows = []
    for i in range(num_rows):
        maze = mazes[i % num_mazes]
        count = 1 if rng.random() < single_share else num_answers
        completion = task.teacher_completion(maze, count, rng)
        rows.append({"prompt": task.prompt(maze, count), "completion": completion})
    return Dataset.from_list(rows)
