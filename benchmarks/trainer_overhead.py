"""What does VPOTrainer cost over TRL's GRPOTrainer, for the same model, tokens and reward calls?

Both train a tiny looped maze policy, warm-started until it writes answer sets, at learning rate 0 from the same seeds,
so they generate the very same completions of three routes at every step; the GRPO reward parses and scores the same
three routes that the VPO reward sees. What is left is our own work: expanding rows, gathering vectors, weightings, set
rewards, metrics and the rollout log. The two take turns step by step, and each pair of steps gives one ratio. A policy
this small is the worst case: our work does not grow with the model.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from threading import Semaphore, Thread

import datasets
import torch
from datasets import Dataset
from targets import Target, finish, parser
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer, SFTConfig

from eval.bootstrap import mean_and_error
from trainers import VPOConfig, VPOTrainer
from trainers.warm_start import WarmStartTrainer
from vpo.tasks.maze import Maze, MazeTask
from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows

PROMPTS, GROUP, ANSWERS = 12, 8, 3


class TakeTurns(TrainerCallback):
    """Lets two trainers in two threads step in turn, and notes the seconds of every step, generation included.

    What disturbs the machine disturbs both halves of a pair alike. A seed set before each step makes both sample alike.
    """

    def __init__(self, mine: Semaphore, other: Semaphore) -> None:
        self.mine, self.other = mine, other
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.mine.acquire()
        torch.manual_seed(state.global_step)
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.seconds.append(time.perf_counter() - self.start)
        self.other.release()


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


def warm_policy(folder: Path, steps: int) -> Path:
    """A policy that writes three tagged routes, if not good ones."""
    task = MazeTask()
    model, tokenizer = tiny_policy(task, ANSWERS, seed=0)
    shared = {
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "max_length": None,
    }
    arguments = SFTConfig(
        str(folder), max_steps=steps, learning_rate=3e-3, report_to="none", disable_tqdm=True, **shared
    )
    rows = warm_start_rows(task, 8 * steps, 500, ANSWERS, seed=0, single_share=0.0)
    trainer = WarmStartTrainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def make(kind: str, start: Path, steps: int, folder: Path) -> GRPOTrainer:
    """One of the two trainers, on the same rows."""
    task = MazeTask()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
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
        return VPOTrainer(model, task.reward_funcs, VPOConfig(**shared, **options), **data)
    # The end token that VPOTrainer sets: the completions must be the same.
    model.generation_config.eos_token_id = [2, tokenizer.convert_tokens_to_ids(f"</{task.tag}_{ANSWERS}>")]
    return GRPOTrainer(model, sum_of_routes(task), GRPOConfig(**shared), **data)


def race(start: Path, steps: int, folder: Path) -> tuple[dict[str, list[float]], float]:
    """Seconds of every step of both trainers, the first step left out, and the answers read in a completion."""
    turns = {"GRPO": Semaphore(1), "VPO": Semaphore(0)}
    trainers = {kind: make(kind, start, steps, folder / kind) for kind in turns}
    timers = {"GRPO": TakeTurns(turns["GRPO"], turns["VPO"]), "VPO": TakeTurns(turns["VPO"], turns["GRPO"])}
    for kind, trainer in trainers.items():
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(timers[kind])
    threads = [Thread(target=trainer.train, daemon=True) for trainer in trainers.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs = {k: [entry for entry in t.state.log_history if "reward" in entry] for k, t in trainers.items()}
    lengths = {kind: [entry["completions/mean_length"] for entry in log] for kind, log in logs.items()}
    if lengths["GRPO"] != lengths["VPO"] or len(lengths["VPO"]) != steps:
        raise RuntimeError(f"the trainers did not generate the same tokens: mean completion lengths {lengths}.")
    answers = statistics.fmean(entry["set/answers"] for entry in logs["VPO"])
    return {kind: timer.seconds[1:] for kind, timer in timers.items()}, answers


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    races, steps = (1, 10) if options.quick else (4, 31)
    ratios, table = [], []
    with tempfile.TemporaryDirectory() as folder:
        start = warm_policy(Path(folder) / "start", 60 if options.quick else 200)
        for number in range(races):
            seconds, answers = race(start, steps, Path(folder) / str(number))
            ratios += [vpo / grpo for grpo, vpo in zip(seconds["GRPO"], seconds["VPO"], strict=True)]
            grpo, vpo = (statistics.median(seconds[kind]) for kind in ("GRPO", "VPO"))
            table.append({"GRPO_s": grpo, "VPO_s": vpo, "answers": answers})
            print(f"race {number}: GRPO {grpo:.4f} s  VPO {vpo:.4f} s  answers read in a completion {answers:.2f}")
    estimate = mean_and_error(ratios)
    print(f"\nratio of step times over {len(ratios)} pairs of steps: mean {estimate}, seed 0")
    targets = [Target("VPO / GRPO time per step, median of pairs", statistics.median(ratios), 1.03, at_least=False)]
    results = {"races": table, "ratio": {"mean": estimate.mean, "se": estimate.se, "pairs": ratios}}
    return finish("trainer_overhead", options.quick, results, targets)


if __name__ == "__main__":
    sys.exit(main())
