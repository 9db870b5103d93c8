"""On a GPU, how many tokens a second does VPO train with, against TRL's GRPO on the same model and completions?

Both trainers get the same prompts, random weights of the same seeds at learning rate 0, completions of the same fixed
length, and reward functions that do the same work: VPO's three components are scored on answers, GRPO's function reads
the same answers and adds the same components up. So what differs is our work: gathering vectors, weightings, set
rewards, metrics, the rollout log. They take turns, run by run, with the first steps of each left out; a step is
generation, scoring and update, with all its kernels. bfloat16 autocast over float32 weights, AdamW, gradient
checkpointing, generation by transformers (not vLLM, which would make the update the larger part). About 30 minutes on
one GPU of 80 GB, by estimate: it has not run on one.

    python benchmarks/gpu/training_speed.py                        # Qwen3-1.7B
    python benchmarks/gpu/training_speed.py --random-init 350M     # no download; fits into 24 GB
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from device import add_model, choose_device, finish, forget, gib, parser, peak_gib, run, wait
from models import load, prompts
from targets import Target
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

from eval.bootstrap import mean_and_error
from trainers import VPOConfig, VPOTrainer
from vpo.answers import AnswerFormat

ANSWERS, GROUP, WARM_UP = 3, 8, 2
FORMAT = AnswerFormat(ANSWERS)


class StepClock(TrainerCallback):
    """Seconds of every step, from its first kernel to the end of its last; the same random numbers for both."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self.start = device, [], 0.0

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        torch.manual_seed(state.global_step)
        wait(self.device)
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        wait(self.device)
        self.seconds.append(time.perf_counter() - self.start)


def length(texts: list[str]) -> list[float]:
    return [min(1.0, len(text) / 400) for text in texts]


def variety(texts: list[str]) -> list[float]:
    return [len(set(text.split())) / max(1, len(text.split())) for text in texts]


def digits(texts: list[str]) -> list[float]:
    return [sum(letter.isdigit() for letter in text) / max(1, len(text)) for text in texts]


PARTS = (length, variety, digits)


def component(part: Any) -> Any:
    """A reward function of VPO: called on answers."""

    def reward(completions, **kwargs):
        return part(completions)

    reward.__name__ = part.__name__
    return reward


def total(completions, **kwargs):
    """The reward function of GRPO: it reads the same answers from each completion and adds the same parts up."""
    sets = [list(FORMAT.parse(text).answers) for text in completions]
    return [float(sum(sum(part(answers)) for part in PARTS)) for answers in sets]


def train(kind: str, asked: Any, sizes: dict[str, int], folder: Path, device: torch.device) -> dict[str, Any]:
    """One run: seconds of its steps, tokens of a step, and the peak of memory."""
    forget(device)
    model, tokenizer, name = load(asked, device, torch.float32)  # weights of the optimizer; bfloat16 comes by autocast
    ids = prompts(tokenizer, sizes["prompts"] * sizes["steps"], sizes["tokens"], asked.seed, device)
    rows = [{"prompt": text} for text in tokenizer.batch_decode(ids)]
    shared = {
        "output_dir": str(folder / kind),
        "per_device_train_batch_size": asked.micro_batch if not asked.tiny else sizes["prompts"] * GROUP,
        "gradient_accumulation_steps": 1 if asked.tiny else sizes["prompts"] * GROUP // asked.micro_batch,
        "num_generations": GROUP,
        "max_completion_length": sizes["tokens"],
        "generation_kwargs": {"min_new_tokens": sizes["tokens"]},  # all completions are equally long
        "max_steps": sizes["steps"],
        "learning_rate": 0.0,
        "bf16": not asked.tiny,
        "use_cpu": asked.tiny,
        "gradient_checkpointing": not asked.tiny,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "seed": asked.seed,
    }
    data = {"train_dataset": Dataset.from_list(rows), "processing_class": tokenizer}
    if kind == "VPO":
        config = VPOConfig(**shared, num_answers=ANSWERS, ask_for_answers=False)
        trainer = VPOTrainer(model, [component(part) for part in PARTS], config, **data)
    else:
        trainer = GRPOTrainer(model, total, GRPOConfig(**shared), **data)
    clock = StepClock(device)
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "reward" in entry]
    lengths = {entry["completions/mean_length"] for entry in log}
    if lengths != {float(sizes["tokens"])} or len(log) != sizes["steps"]:
        raise RuntimeError(f"{kind} generated completions of {lengths} tokens: expected {sizes['tokens']} throughout.")
    if not all(torch.isfinite(torch.tensor(float(entry["loss"]))) for entry in log):
        raise RuntimeError(f"{kind}: the loss is not finite, so its time says nothing. Try another model or --seed.")
    return {
        "seconds": clock.seconds[WARM_UP:],
        "tokens_per_step": sizes["prompts"] * GROUP * sizes["tokens"],
        "peak_gib": peak_gib(device),
        "model": name,
    }


def main() -> int:
    options = parser(__doc__ or "")
    add_model(options)
    options.add_argument("--prompts", type=int, default=8, help=f"of a step, {GROUP} completions each (default 8)")
    options.add_argument("--micro-batch", type=int, default=16, help="completions in one pass (default 16)")
    options.add_argument("--tokens", type=int, default=256, help="prompt tokens, and generated ones (default 256)")
    options.add_argument("--steps", type=int, default=10, help=f"steps of a run, the first {WARM_UP} not counted")
    asked = options.parse_args()
    device = choose_device(asked)
    completions = asked.prompts * GROUP
    if completions % asked.micro_batch or asked.steps <= WARM_UP:
        raise ValueError(
            f"--micro-batch is {asked.micro_batch} and --steps {asked.steps}: expected a divisor of the {completions} "
            f"completions of a step, and more than {WARM_UP} steps."
        )
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    sizes = {"prompts": asked.prompts, "tokens": asked.tokens, "steps": asked.steps}
    repeats = 1 if asked.tiny else asked.repeats
    if asked.tiny:
        sizes = {"prompts": 2, "tokens": 8, "steps": WARM_UP + 3}
    runs: dict[str, list[dict[str, Any]]] = {"GRPO": [], "VPO": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats):
            for kind in ("GRPO", "VPO") if turn % 2 == 0 else ("VPO", "GRPO"):
                found = train(kind, asked, sizes, Path(folder) / str(turn), device)
                runs[kind].append(found)
                rate = found["tokens_per_step"] / statistics.median(found["seconds"])
                print(f"run {turn} {kind:5} {rate:10.1f} tokens/s, peak memory {gib(found['peak_gib'])}", flush=True)
    medians = {kind: [statistics.median(each["seconds"]) for each in of_kind] for kind, of_kind in runs.items()}
    ratios = [ours / theirs for ours, theirs in zip(medians["VPO"], medians["GRPO"], strict=True)]
    print(f"\n{runs['VPO'][0]['model']}: VPO / GRPO time a step {mean_and_error(ratios)} over {repeats} pairs of runs")
    goals = [Target("VPO / GRPO time per step, median of pairs", statistics.median(ratios), 1.03, at_least=False)]
    if not asked.tiny:
        ours, theirs = (max(each["peak_gib"] for each in runs[kind]) for kind in ("VPO", "GRPO"))
        goals.append(Target("VPO / GRPO peak memory", ours / theirs, 1.02, at_least=False))
    return finish("training_speed", asked, {"sizes": sizes, "micro_batch": asked.micro_batch, "runs": runs}, goals)


if __name__ == "__main__":
    sys.exit(
        run(main, "Lower --micro-batch or --tokens, or --random-init: 16 bytes a parameter are there at any batch.")
    )
