"""What does the collapse monitor cost: a share of a training step, and time and memory for a long log?

*Training*: TRL's GRPOTrainer on a small transformer (12 M parameters, 8 prompts x 8 completions of 96 tokens) and on a
tiny one (.2 M, 24 tokens), the monitor among its callbacks with all of its measures; the figure is the time inside the
monitor over the time of the whole step. The tiny one is the worst case: the monitor's work does not grow with the
model.

*A log*: TRL completion files of 512 rows a step, a million rows in all (three formats that shift, invented words, about
300 characters), through `vpo monitor` in a process of its own: wall time until the page is written, and peak memory of
that process and of its workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from targets import Target, finish, parser
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, TrainerCallback
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer

from eval.bootstrap import mean_and_error
from eval.collapse import CollapseMonitor
from vpo.tasks.format_mixture import FormatMixtureTask
from vpo.tasks.word_tokenizer import word_tokenizer

ROWS_A_STEP, PROMPTS_A_STEP = 512, 64
SIZES = {
    "small, 12 M": {"hidden_size": 384, "layers": 6, "tokens": 96, "prompts": 8},
    "tiny, .2 M": {"hidden_size": 64, "layers": 3, "tokens": 24, "prompts": 12},
}


class Clock(TrainerCallback):
    """Seconds of every step, from the begin of one to the begin of the next, generation included."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.starts.append(time.perf_counter())

    def on_train_end(self, args, state, control, **kwargs) -> None:
        self.starts.append(time.perf_counter())


class TimedMonitor(CollapseMonitor):
    """The monitor, timed."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.seconds: list[float] = []

    def on_step_end(self, *args, **kwargs) -> None:
        start = time.perf_counter()
        super().on_step_end(*args, **kwargs)
        self.seconds.append(time.perf_counter() - start)


def train(hidden_size: int, layers: int, tokens: int, prompts: int, steps: int, folder: Path) -> list[float]:
    """Share of each step but the first that the monitor took."""
    task = FormatMixtureTask()
    tokenizer = word_tokenizer(task.vocabulary(1))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=max(hidden_size // 32, 1),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    arguments = GRPOConfig(
        str(folder),
        per_device_train_batch_size=8 * prompts,
        num_generations=8,
        max_completion_length=tokens,
        max_steps=steps,
        learning_rate=1e-5,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    rows = task.dataset("train", steps * prompts, 1)
    trainer = GRPOTrainer(LlamaForCausalLM(config), task_reward(task), arguments, rows, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    clock, monitor = Clock(), TimedMonitor(trainer, strict=True)
    trainer.add_callback(clock)
    trainer.add_callback(monitor)
    trainer.train()
    lengths = np.diff(clock.starts)
    return [float(mine / whole) for mine, whole in zip(monitor.seconds[1:], lengths[1:], strict=False)]


def task_reward(task: FormatMixtureTask):
    def correct(completions, problem, **kwargs):
        return [task.score(text, {"problem": row})[0] for text, row in zip(completions, problem, strict=True)]

    return correct


def write_log(folder: Path, rows: int, seed: int = 0) -> None:
    """A run's ``completions`` folder as TRL writes it, with formats that shift."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnoprstuvwy"))
    words = ["".join(rng.choice(letters, size=rng.integers(3, 9))) for _ in range(4000)]
    (folder / "completions").mkdir(parents=True)
    steps = rows // ROWS_A_STEP
    for step in range(1, steps + 1):
        chances = np.array([0.4 + 0.5 * step / steps, 0.3 - 0.25 * step / steps, 0.3 - 0.25 * step / steps])
        kinds = rng.choice(3, size=ROWS_A_STEP, p=chances)
        picks = rng.integers(len(words), size=(ROWS_A_STEP, 40))
        numbers = rng.integers(1000, size=(ROWS_A_STEP, 6))
        texts = [
            _text(int(kind), [words[i] for i in row], nums)
            for kind, row, nums in zip(kinds, picks, numbers, strict=True)
        ]
        prompts = [
            f"Problem {step}-{i}: how many {words[picks[8 * i, 0]]}?" for i in range(PROMPTS_A_STEP) for _ in range(8)
        ]
        table = {
            "step": [step] * ROWS_A_STEP,
            "prompt": prompts,
            "completion": texts,
            "accuracy_reward": (rng.random(ROWS_A_STEP) < 0.5).astype(float),
            "advantage": rng.normal(size=ROWS_A_STEP),
        }
        pq.write_table(pa.table(table), folder / "completions" / f"completions_{step:05d}.parquet")


def _text(kind: int, words: list[str], numbers) -> str:
    a, b, c = numbers[:3]
    if kind == 0:
        lines = [
            f"    {words[i]} = {numbers[i]} + {numbers[i + 1]}  # {' '.join(words[6 * i : 6 * i + 5])}"
            for i in range(4)
        ]
        return "\n".join(["def solution():", f'    """{" ".join(words[30:])}"""', *lines, f"    return {words[0]}"])
    if kind == 1:
        steps = [f"{i + 1}. {' '.join(words[9 * i : 9 * i + 9])}: ${numbers[i]} + {b} = {c}$" for i in range(4)]
        return "\n".join([*steps, f"The answer is \\boxed{{{a}}}."])
    return f"{' '.join(words[:30]).capitalize()}. {' '.join(words[30:])} {a} and {b}. The answer is {c}."


def report(folder: Path) -> tuple[float, float]:
    """Seconds of `vpo monitor` on a log, and peak GiB of its process and workers together (resident sets, added up).

    Sampled from outside: the peak that a process reports of itself counts what its parent held when it was started.
    """
    out = folder / "report"
    code = "import sys; from vpo.cli.app import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "monitor", str(folder), "--out", str(out)]
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        family = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(0.1)
            with contextlib.suppress(psutil.NoSuchProcess):
                members = [family, *family.children(recursive=True)]
                peak = max(peak, sum(member.memory_info().rss for member in members))
        said = process.stderr.read() if process.stderr else ""
    seconds = time.perf_counter() - start
    if process.returncode or not (out / "report.html").is_file():
        raise RuntimeError(f"vpo monitor failed:\n{said[-4000:]}")
    return seconds, peak / 2**30


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    logging.getLogger("vpo.monitor").setLevel(logging.CRITICAL)
    steps = 3 if options.quick else 16
    rows = 20_000 if options.quick else 1_000_000
    results: dict[str, object] = {}
    shares = {}
    with tempfile.TemporaryDirectory() as name:
        for label, size in SIZES.items():
            size = {**size, "tokens": 16, "prompts": 4} if options.quick else size
            shares[label] = train(**size, steps=steps, folder=Path(name) / label)
            taken = mean_and_error(shares[label])
            print(f"{label}: the monitor takes {taken.mean:.2%} +- {taken.se:.2%} of a step, {steps - 1} steps, seed 0")
            results[label] = {"shares": shares[label]}
        log = Path(name) / "log"
        write_log(log, rows)
        seconds, peak = report(log)
    rate = rows / seconds
    print(f"a log of {rows:,} rows: {seconds:.0f} s, {rate:,.0f} rows/s, peak {peak:.2f} GiB in all processes")
    results["log"] = {"rows": rows, "seconds": seconds, "peak_gib": peak}
    limit = 180 * rows / 1e6
    median = statistics.median(shares["small, 12 M"])
    targets = [
        Target("monitor's share of a training step, 12 M parameters, median", median, 0.01, at_least=False),
        Target(f"seconds for {rows:,} rows", seconds, limit if not options.quick else 30, at_least=False),
        Target("peak GiB for them", peak, 2.0, at_least=False),
    ]
    return finish("monitor_overhead", options.quick, results, targets)


if __name__ == "__main__":
    sys.exit(main())
