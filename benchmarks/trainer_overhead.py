"""What does VPOTrainer cost over TRL's GRPOTrainer, for the same model, tokens and reward calls?

Both train the tiny looped maze policy at learning rate 0 from the same seed, so they generate the very same completions
of three routes at every step; the GRPO reward parses and scores the same three routes that the VPO reward sees. What is
left is our own work: expanding rows, gathering vectors, weightings, set rewards, metrics and the rollout log. Runs
alternate, and each pair gives one ratio of median step times. A policy this small is the worst case for the ratio.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import datasets
import torch
from datasets import Dataset
from targets import Target, finish, parser
from transformers import TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

from eval.bootstrap import mean_and_error
from trainers import VPOConfig, VPOTrainer
from vpo.tasks.maze import Maze, MazeTask
from vpo.tasks.maze.policy import tiny_policy

PROMPTS, GROUP, ANSWERS = 12, 8, 3


class StepTimes(TrainerCallback):
    """Seconds of every optimizer step, generation included; the time of logging between steps counts to neither."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def sum_of_routes(task: MazeTask):
    """A plain TRL reward on whole completions that does the work of parsing and scoring the same answers."""
    answer_format = task.answer_format(ANSWERS)

    def reward(completions, maze, **kwargs):
        known = {text: Maze.from_json(text) for text in set(maze)}
        from vpo.tasks.maze.routes import score_route

        return [
            sum(sum(score_route(answer, known[m], task.notation)) for answer in answer_format.parse(text).answers)
            for text, m in zip(completions, maze, strict=True)
        ]

    return reward


def run(kind: str, steps: int, folder: Path) -> tuple[list[float], float]:
    """Median-ready step times, and the mean completion length as a check that both generated the same."""
    task = MazeTask()
    model, tokenizer = tiny_policy(task, ANSWERS, seed=0)
    rows = [task.row(maze, ANSWERS) for maze in islice(task.examples("train"), PROMPTS * steps)]
    shared = {
        "output_dir": str(folder),
        "per_device_train_batch_size": PROMPTS * GROUP,
        "num_generations": GROUP,
        "max_completion_length": task.completion_tokens(ANSWERS),
        "max_steps": steps,
        "learning_rate": 0.0,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
    }
    data = {"train_dataset": Dataset.from_list(rows), "processing_class": tokenizer}
    if kind == "VPO":
        options = {"num_answers": ANSWERS, "answer_tag": task.tag, "ask_for_answers": False}
        trainer = VPOTrainer(model, task.reward_funcs, VPOConfig(**shared, **options), **data)
    else:
        # The end token that VPOTrainer sets: the completions must be the same.
        model.generation_config.eos_token_id = [2, tokenizer.convert_tokens_to_ids(f"</{task.tag}_{ANSWERS}>")]
        trainer = GRPOTrainer(model, sum_of_routes(task), GRPOConfig(**shared), **data)
    timer = StepTimes()
    trainer.add_callback(timer)
    trainer.train()
    lengths = [entry["completions/mean_length"] for entry in trainer.state.log_history if "reward" in entry]
    return timer.seconds[1:], statistics.fmean(lengths)


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    pairs, steps = (2, 4) if options.quick else (8, 12)
    ratios, table = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(pairs):
            order = ("GRPO", "VPO") if pair % 2 == 0 else ("VPO", "GRPO")
            measured = {kind: run(kind, steps, Path(folder) / f"{pair}-{kind}") for kind in order}
            (grpo, grpo_length), (vpo, vpo_length) = measured["GRPO"], measured["VPO"]
            if grpo_length != vpo_length:
                raise RuntimeError(f"the runs generated different tokens: {grpo_length} and {vpo_length} a completion.")
            ratios.append(statistics.median(vpo) / statistics.median(grpo))
            table.append({"GRPO_s": statistics.median(grpo), "VPO_s": statistics.median(vpo), "ratio": ratios[-1]})
            print(f"pair {pair}: GRPO {table[-1]['GRPO_s']:.4f} s  VPO {table[-1]['VPO_s']:.4f} s  {ratios[-1]:.4f}")
    estimate = mean_and_error(ratios)
    print(f"ratio of median step times: {estimate} over {pairs} pairs of {steps - 1} steps, seed 0")
    targets = [Target("VPO / GRPO time per step", statistics.median(ratios), 1.03, at_least=False)]
    return finish("trainer_overhead", "python benchmarks/trainer_overhead.py", options.quick, {"pairs": table}, targets)


if __name__ == "__main__":
    sys.exit(main())
