"""The policies of the study: a warm start that follows one arrow a loop, and what reinforcement learning makes of it.

Everything is kept on disk, and read from there if a killed run goes on.
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from arrows.task import NODES, ArrowsTask
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, PreTrainedTokenizerFast

from vpo.looped import FixedDepth, FixedPoint, LoopedConfig, LoopedForCausalLM, RandomDepth
from vpo.tasks.word_tokenizer import word_tokenizer

CAP = 4
MOST_ANSWERS = 3
OBJECTIVES = {"GRPO": ("grpo", 1), "VPO": ("vpo", 3)}
DEPTHS = ("chosen", "fixed")
TOLERANCES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Sizes:
    warm_steps: int = 800  # at most
    warm_until: float = 0.6  # of the ends right at the cap: far starts are then less sure than near ones
    warm_batch: int = 64
    tokens: int = 40_000
    prompts: int = 8
    answers: int = 24  # of a prompt: G = answers / m
    lr: float = 1e-3
    calibration_rows: int = 200
    loss: float = 0.005  # of the right answers, that the tolerance may cost


def new_policy(seed: int, num_loops: int = CAP) -> tuple[LoopedForCausalLM, PreTrainedTokenizerFast]:
    """One attention layer, looped, so that a loop can follow one arrow; and a word-level tokenizer."""
    task = ArrowsTask()
    tokenizer = word_tokenizer(task.vocabulary(MOST_ANSWERS))
    longest = task.prompt_tokens + task.completion_tokens(MOST_ANSWERS)
    layers = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        initializer_range=0.1,
        rope_theta=1e10,  # a node is looked up by its name, wherever it stands: hardly any channel may rotate
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    parts = {"prelude_layers": 0, "core_layers": 1, "coda_layers": 0}
    config = LoopedConfig(
        layer_config=layers,
        num_loops=num_loops,
        injection="concat",
        learned_positions=longest,
        initializer_range=0.1,
        **parts,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LoopedForCausalLM(config), tokenizer


@dataclass(frozen=True)
class Lessons:
    """A batch of prompts with completions; B rows, T tokens, N = 3 answers.

    Attributes:
        ids: (B, T) tokens.
        places: (N,) where the starts stand, whose next token is the end of the walk.
        walks: (B, N, 4) token of the node after 1, 2, 3, 4 arrows, the end repeated.
        hops: (B, N) arrows of each walk.
        prompt: Tokens of a prompt.
    """

    ids: Tensor
    places: Tensor
    walks: Tensor
    hops: Tensor
    prompt: int

    def targets(self, loops: Tensor) -> Tensor:
        """(B, T - 1) what each token is to predict after (B,) loops, -100 for nothing: as far as so many arrows go."""
        targets = self.ids[:, 1:].clone()
        targets[:, : self.prompt - 1] = -100
        reached = (loops - 1).clamp(max=self.walks.shape[2] - 1)
        targets[:, self.places] = self.walks[torch.arange(len(loops)), :, reached]
        return targets

    def right(self, logits: Tensor) -> Tensor:
        """(B, N) probability of the right ends."""
        return logits[:, self.places].softmax(-1).gather(-1, self.walks[:, :, -1:])[..., 0]


def lessons(rng: random.Random, rows: int, split: str, tokenizer: Any, num_answers: int = MOST_ANSWERS) -> Lessons:
    """Answers of the teacher to new tables."""
    task, words = ArrowsTask(), tokenizer.get_vocab()
    ids, walks, hops = [], [], []
    for arrows in islice(task.examples(split, rng.getrandbits(48)), rows):
        text = task.prompt(arrows, num_answers) + task.teacher_completion(arrows, num_answers, rng)
        ids.append([*(words[word] for word in text.split()), tokenizer.eos_token_id])
        paths = [arrows.walk(int(word[1:]) - 1) for word in text.split() if word.startswith("s")]
        hops.append([len(path) for path in paths])
        walks.append([[words[NODES[node]] for node in (*path, *path[-1:] * 3)[:4]] for path in paths])
    places = [ArrowsTask.prompt_tokens + 4 * i + (num_answers > 1) for i in range(num_answers)]
    return Lessons(*map(torch.tensor, (ids, places, walks, hops)), ArrowsTask.prompt_tokens)


def teach(seed: int, sizes: Sizes, loops: int = CAP, until: float = 1.0) -> tuple[Any, Any, int]:
    """A policy taught at random depths up to ``loops``, its tokenizer, and the updates it took to be right ``until``.

    After l loops it is to name the node l arrows on, as long as the walk has not ended: the computation is shown step
    by step, which it is learned from in hundreds of updates. With one loop alone there is nothing to show, and the
    lesson is the end itself, in as many updates.
    """
    model, tokenizer = new_policy(seed, loops)
    rng, held_out = random.Random(f"arrows-lessons-{seed}"), random.Random(f"arrows-held-out-{seed}")
    checks = lessons(held_out, 200, "test", tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 30))
    torch.manual_seed(seed)
    right = 0.0
    for step in range(sizes.warm_steps):
        count = 1 if rng.random() < 0.25 else MOST_ANSWERS
        batch = lessons(rng, sizes.warm_batch, "train", tokenizer, count)
        out = model(batch.ids, depth_policy=RandomDepth(1, loops), use_cache=False)
        depth = out.loop_depths[:, -1] if loops > 1 else torch.full((len(batch.ids),), CAP)
        loss = F.cross_entropy(out.logits[:, :-1].flatten(0, 1), batch.targets(depth).flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warm_up.step()
        if step % 10 == 9 or step == sizes.warm_steps - 1:
            right = right_ends(model, checks, FixedDepth(loops))
            if right >= until:
                break
    print(f"  taught at up to {loops} loops, seed {seed}: {right:.3f} right after {step + 1} updates", flush=True)
    return model, tokenizer, step + 1


def warm_start(seed: int, sizes: Sizes, folder: Path) -> tuple[Path, float]:
    """Where the policy is that every arm starts from, and its calibrated tolerance."""
    start, done = folder / "start", folder / "start" / "done.json"
    if done.exists():
        return start, json.loads(done.read_text())["tol"]
    model, tokenizer, updates = teach(seed, sizes, until=sizes.warm_until)
    one_loop, _, _ = teach(seed, replace(sizes, warm_steps=updates), loops=1)
    rng = random.Random(f"arrows-calibration-{seed}")
    one, three = (lessons(rng, sizes.calibration_rows, "test", tokenizer, count) for count in (1, MOST_ANSWERS))
    tol, curve = calibrate(model, [one, three], sizes.loss)
    done_facts = {
        "tol": tol,
        "updates": updates,
        "right": right_ends(model, three, FixedDepth(CAP)),
        "taught at one loop": right_ends(one_loop, three, FixedDepth(1)),
        "curve": curve,
    }
    model.save_pretrained(start)
    tokenizer.save_pretrained(start)
    done.write_text(json.dumps(done_facts))
    return start, tol


@torch.no_grad()
def right_ends(model: Any, checks: Lessons, depth: Any) -> float:
    """Mean probability of the right ends."""
    logits = model(checks.ids, depth_policy=depth, use_cache=False).logits
    return float(checks.right(logits).mean())


@torch.no_grad()
def calibrate(model: Any, forms: Sequence[Lessons], loss: float) -> tuple[float, list[dict[str, Any]]]:
    """The largest tolerance that costs at most ``loss`` of the right ends at the cap, and what each one does.

    In each of the forms of a completion, with one answer and with three. Not `vpo.looped.calibrate`, which asks every
    token to stay near its output at the cap: most tokens here are a table's, and nobody reads what the policy would say
    after them. ``kl`` is that distance, in nats a token of an answer.
    """
    at_cap = [model(form.ids, depth_policy=FixedDepth(CAP), use_cache=False).logits for form in forms]
    enough = [float(form.right(logits).mean()) - loss for form, logits in zip(forms, at_cap, strict=True)]
    curve: list[dict[str, Any]] = []
    for tol in TOLERANCES:
        row: dict[str, Any] = {"tol": tol, "right": [], "loops": [], "kl": []}
        for form, capped in zip(forms, at_cap, strict=True):
            out, told = model(form.ids, depth_policy=chosen(tol), use_cache=False), slice(form.prompt - 1, -1)
            logprobs, reference = (logits[:, told].log_softmax(-1) for logits in (out.logits, capped))
            row["right"].append(float(form.right(out.logits).mean()))
            row["loops"].append(float(out.loop_depths.float().mean()))
            row["kl"].append(float((logprobs.exp() * (logprobs - reference)).sum(-1).mean()))
        curve.append(row)
    good = [row["tol"] for row in curve if all(a >= b for a, b in zip(row["right"], enough, strict=True))]
    return max(good, default=TOLERANCES[0]), curve


def chosen(tol: float) -> FixedPoint:
    """The stopping rule of the study; undamped, as a state that walks on is not one that overshoots."""
    return FixedPoint(tol=tol, cap=CAP, patience=0)


def train_arm(objective: str, depth: str, seed: int, sizes: Sizes, folder: Path) -> dict[str, Any]:
    """One run; its curve is read from disk if it is there."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    start, tol = warm_start(seed, sizes, folder)
    path = folder / f"{objective}-{depth}.json"
    if path.exists():
        return json.loads(path.read_text())
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from transformers.utils import logging

    from trainers import VPOConfig, VPOTrainer

    disable_progress_bars()
    logging.disable_progress_bar()
    task = ArrowsTask()
    name, answers = OBJECTIVES[objective]
    group, words = sizes.answers // answers, task.completion_tokens(answers)
    steps = 2 + sizes.tokens // (sizes.prompts * group * words)
    tables = task.examples("train", seed + 1)
    rows = [task.row(next(tables), answers) for _ in range(sizes.prompts * steps)]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    model.depth_policy = FixedDepth(CAP) if depth == "fixed" else chosen(tol)
    arguments = VPOConfig(
        output_dir=str(folder / path.stem),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        objective=name,
        num_answers=answers,
        answer_tag=task.tag,
        ask_for_answers=False,
        max_generated_tokens=sizes.tokens,
        max_steps=steps,
        per_device_train_batch_size=sizes.prompts * group,
        num_generations=group,
        max_completion_length=words,
        learning_rate=sizes.lr,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=10,
        logging_steps=1,
        log_rollouts=False,
        depth_training="replay",
    )
    trainer = VPOTrainer(model, task.reward_funcs, arguments, Dataset.from_list(rows), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    kept = {
        "tokens": "generated_tokens",
        "reward": "reward",
        "depth": "loops/mean_depth",
        "gap": "sampling/replay_logp_diff/max",
        "seconds": "step_time",
    }
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    curve = {short: [entry.get(long) for entry in log] for short, long in kept.items()}
    result = {"objective": objective, "depth": depth, "seed": seed, "curve": curve}
    trainer.save_model(str(path.with_suffix("")))  # before the curve, which says that the arm is done
    path.write_text(json.dumps(result))
    print(
        f"  {objective} at {depth} depth, seed {seed}: reward {statistics.fmean(curve['reward'][:5]):.3f}, "
        f"then {statistics.fmean(curve['reward'][-5:]):.3f}",
        flush=True,
    )
    return result
