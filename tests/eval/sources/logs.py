"""Small logs in every form, written as the trainers write them."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eval.rollouts import ROLLOUT_SCHEMA
from tests.eval.rollout_rows import rollout_row
from vpo.weightings import prompt_key

# A sample of these tests: (step, prompt, text, reward).


def by_step(samples):
    return {step: list(group) for step, group in itertools.groupby(samples, key=lambda sample: sample[0])}


def jsonl_text(records) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def generic_records(samples):
    return [{"step": s, "prompt": p, "completion": t, "reward": r} for s, p, t, r in samples]


def write_jsonl(folder: Path, samples) -> Path:
    path = folder / "log.jsonl"
    path.write_bytes(jsonl_text(generic_records(samples)))
    return path


def write_gzip(folder: Path, samples) -> Path:
    path = folder / "log.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl_text(generic_records(samples))))
    return path


def write_parquet(folder: Path, samples) -> Path:
    path = folder / "log.parquet"
    pq.write_table(pa.Table.from_pylist(generic_records(samples)), path, row_group_size=3)
    return path


def write_trl(folder: Path, samples) -> Path:
    """As ``GRPOTrainer.log``: through pandas, one file a step."""
    (folder / "completions").mkdir()
    for step, group in by_step(samples).items():
        write_trl_step(folder / "completions", step, [p for _, p, *_ in group], [t for _, _, t, _ in group],
                       {"reward": [float("nan") if r is None else r for *_, r in group]})  # fmt: skip
    return folder


def write_trl_step(folder: Path, step, prompts, completions, rewards, extra=None) -> Path:
    table = {"step": [step] * len(prompts), "prompt": prompts, "completion": completions, **rewards, **(extra or {}),
             "advantage": [0.0] * len(prompts)}  # fmt: skip
    path = folder / f"completions_{step:05d}.parquet"
    pd.DataFrame(table).to_parquet(path)
    return path


def write_verl(folder: Path, samples) -> Path:
    """As ``RayPPOTrainer._dump_generations``."""
    for step, group in by_step(samples).items():
        records = [{"input": p, "output": t, "gts": None, "score": r, "step": step} for _, p, t, r in group]
        (folder / f"{step}.jsonl").write_bytes(jsonl_text(records))
    return folder


def write_openrlhf(folder: Path, samples) -> Path:
    """As ``batch_inference --eval_task rm --iter N``."""
    for step, group in by_step(samples).items():
        records = [{"input": p, "output": t, "reward": r} for _, p, t, r in group]
        (folder / f"rm_{step}.jsonl").write_bytes(jsonl_text(records))
    return folder


def rollout(step=0, **other):
    prompt = other.get("prompt", "p")
    return rollout_row(**{"step": step, "epoch": 0.5, "prompt_id": f"{prompt_key(prompt):016x}", **other})


def write_rollouts(folder: Path, rows, rank=0, schema=ROLLOUT_SCHEMA) -> Path:
    """As ``RolloutLog``: one file a step."""
    (folder / "rollouts").mkdir(exist_ok=True)
    for step, group in itertools.groupby(rows, key=lambda row: row["step"]):
        table = pa.Table.from_pylist(list(group), schema=schema)
        pq.write_table(table, folder / "rollouts" / f"rank{rank:04d}-step{step:08d}.parquet")
    return folder


def write_vpo(folder: Path, samples) -> Path:
    rows = [
        rollout(s, prompt=p, completion=t, answers=[t], rewards=[[r]], components=["reward"]) for s, p, t, r in samples
    ]
    return write_rollouts(folder, rows)


WRITERS = {
    "vpo": write_vpo,
    "trl": write_trl,
    "verl": write_verl,
    "openrlhf": write_openrlhf,
    "jsonl": write_jsonl,
    "gzip": write_gzip,
    "parquet": write_parquet,
}


def samples_of(steps):
    """What was read, as the samples of these tests; a reward that is not known is None."""
    return [
        (each.step, prompt, text, None if np.isnan(reward) else reward)
        for each in steps
        for prompt, text, reward in zip(each.prompts, each.texts, each.rewards[:, 0].tolist(), strict=True)
    ]
