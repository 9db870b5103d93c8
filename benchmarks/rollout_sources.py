"""How fast does the monitor read a log of each kind, and in how much memory?

A log of 200,000 samples (200 steps, groups of 8, half a thousand characters a prompt and a completion) is
written in each form and read step by step, each in a process of its own: samples a CPU second, and the memory by which
reading raises the process's peak. Targets: 100,000 a second from Parquet, 50,000 from JSON lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from targets import Target, finish, parser

from eval.rollouts import ROLLOUT_SCHEMA

GROUP, ROWS = 8, 1024
TEXT = "the answer follows from adding both sides and dividing by two so that one is left " * 6
CHILD = """
import resource, sys, time
from eval.sources import open_source
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
source = open_source(sys.argv[1])
next(source.read())  # imports that wait for the first use
before, start = peak(), time.process_time()
num = sum(map(len, source.read()))
print(num, time.process_time() - start, peak() - before)
"""


def samples(step: int) -> Iterator[tuple[str, str, float]]:
    """(prompt, completion, reward) of one step."""
    for i in range(ROWS):
        yield f"{step} {i // GROUP} {TEXT}", f"{TEXT}{step} {i}", float(i % 2)


def lines(records: Iterator[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(record) + "\n" for record in records)


def jsonl(folder: Path, steps: int) -> Path:
    with (folder / "log.jsonl").open("w") as file:
        for step in range(steps):
            keys = ("step", "prompt", "completion", "reward")
            file.writelines(lines(dict(zip(keys, (step, *each), strict=True)) for each in samples(step)))
    return folder / "log.jsonl"


def parquet(folder: Path, steps: int) -> Path:
    schema = pa.schema([("step", pa.int64()), ("prompt", pa.string()), ("completion", pa.string())])
    schema = schema.append(pa.field("reward", pa.float64()))
    with pq.ParquetWriter(folder / "log.parquet", schema) as writer:
        for step in range(steps):
            columns = [[step] * ROWS, *map(list, zip(*samples(step), strict=True))]
            writer.write_table(pa.table(columns, schema=schema))
    return folder / "log.parquet"


def verl(folder: Path, steps: int) -> Path:
    for step in range(steps):
        records = ({"input": p, "output": c, "gts": "1", "score": r, "step": step} for p, c, r in samples(step))
        (folder / f"{step}.jsonl").write_text("".join(lines(records)))
    return folder


def trl_chat(folder: Path, steps: int) -> Path:
    (folder / "completions").mkdir()
    for step in range(steps):
        prompts, texts, rewards = map(list, zip(*samples(step), strict=True))
        table = {
            "step": [step] * ROWS,
            "prompt": [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": p}] for p in prompts],
            "completion": [[{"role": "assistant", "content": text}] for text in texts],
            "reward": rewards,
            "advantage": rewards,
        }
        pq.write_table(pa.table(table), folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


def vpo(folder: Path, steps: int) -> Path:
    """Four answers a completion, three components, 300 tokens with depths."""
    (folder / "rollouts").mkdir()
    fixed = {"epoch": 0.0, "rank": 0, "components": ["a", "b", "c"], "set_reward": 0.5, "advantage": 0.0}
    fixed |= {"completion_tokens": 300, "finish_reason": "stop", "num_unclosed": 0, "num_extra": 0, "objective": "vpo"}
    fixed |= {"metadata": '{"target": 3}', "depths": [2] * 300, "residuals": [0.1] * 300}
    for step in range(steps):
        rows = [
            {
                "step": step,
                "prompt_id": p[:16],
                "prompt": p,
                "completion": c,
                "answers": [f"{c[:100]} {i}" for i in "1234"],
            }
            | {"rewards": [[r, 1.0, None]] * 4}
            | fixed
            for p, c, r in list(samples(step))[: ROWS // 4]
        ]
        path = folder / "rollouts" / f"rank0000-step{step:08d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=ROLLOUT_SCHEMA), path)
    return folder


FORMS: dict[str, tuple[Callable[[Path, int], Path], float]] = {
    "JSONL": (jsonl, 50_000),
    "verl": (verl, 50_000),
    "Parquet table": (parquet, 100_000),
    "TRL, chat messages": (trl_chat, 100_000),
    "VPO, answers": (vpo, 100_000),
}


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    steps = 20 if options.quick else 200
    print(f"{steps * ROWS} samples; samples a CPU second, MB above the first step's")
    table, targets = {}, []
    for form, (write, target) in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", CHILD, str(write(Path(folder), steps))]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        num, seconds, megabytes = map(float, done.stdout.split())
        table[form] = {"samples_per_s": num / seconds, "megabytes": megabytes}
        print(f"{form:24}{num / seconds:12.0f}{megabytes:9.1f}", flush=True)
        targets.append(Target(f"{form}, samples a CPU second", num / seconds, target))
    targets.append(
        Target("most memory above one step's, MB", max(row["megabytes"] for row in table.values()), 150, False)
    )
    return finish("rollout_sources", options.quick, {"steps": steps, "forms": table}, targets)


if __name__ == "__main__":
    sys.exit(main())
