"""The rollout log: every completion of a run, one Parquet file for each generation batch and process.

A file is written under a temporary name and renamed, so that a reader never sees half of one and a killed run loses at
most the batch it was working on. The name holds the step, so a resumed run overwrites the steps that it repeats.
Schema: :data:`eval.rollouts.ROLLOUT_SCHEMA`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.rollouts import ROLLOUT_SCHEMA, rollout_name
from trainers.depth_recorder import SampledDepths
from vpo.rewards import RewardBatch
from vpo.weightings import prompt_key


class RolloutLog:
    """Writer of one process's part of the log.

    Args:
        folder: The run's ``rollouts`` folder; made if missing.
        rank: Index of this process.
    """

    def __init__(self, folder: str | Path, rank: int) -> None:
        self.folder = Path(folder)
        self.rank = rank
        self.folder.mkdir(parents=True, exist_ok=True)
        for torn in self.folder.glob(f"rank{rank:04d}-*.tmp"):
            torn.unlink()  # left by a run that was killed while writing

    def drop_after(self, step: int, num_processes: int = 1) -> None:
        """Delete rollouts of later steps, which a resumed run makes again.

        Every process cleans up after itself; the first one also after processes that are no more.
        """
        for path in self.folder.glob("rank*-step*.parquet"):
            name = rollout_name(path)
            if name is None or name.step <= step:
                continue
            if name.rank == self.rank or (self.rank == 0 and name.rank >= num_processes):
                path.unlink()

    def write(self, step: int, index: int, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write one generation batch.

        Args:
            step: Optimizer step at which the batch was generated.
            index: 0 for the first batch generated at this step, 1 for the second...
            rows: One mapping a completion, with every column of the schema.

        Returns:
            Path of the file.
        """
        suffix = f"-{index}" if index else ""
        path = self.folder / f"rank{self.rank:04d}-step{step:08d}{suffix}.parquet"
        temporary = path.with_suffix(".tmp")
        pq.write_table(pa.Table.from_pylist(list(rows), schema=ROLLOUT_SCHEMA), temporary)
        os.replace(temporary, path)
        return path


def rollout_rows(
    batch: Mapping[str, Any],
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    inputs: Sequence[Mapping[str, Any]],
    scored: Sequence[RewardBatch],
    scores: Sequence[float],
    advantages: Sequence[float],
    stop_ids: set[int],
    depths: SampledDepths | None = None,
) -> list[dict[str, Any]]:
    """Rows of the log for one generation batch.

    Args:
        batch: Columns that are the same for all rows.
        prompts: B prompts.
        completions: B completions, text or chat messages.
        completion_ids: Their tokens.
        inputs: Their dataset rows.
        scored: What each reward function gave, with the parsed answers.
        scores: B scores under the objective.
        advantages: B advantages.
        stop_ids: Tokens that end a completion; one that ends otherwise was cut off.
        depths: Of a looped policy's tokens, or None.

    Returns:
        B rows with every column of the schema.
    """
    loops, residuals = _by_token(depths, [len(ids) for ids in completion_ids])
    rows = []
    for i, (prompt, completion, ids) in enumerate(zip(prompts, completions, completion_ids, strict=True)):
        found = scored[0].answer_sets[i]
        extra = {key: value for key, value in inputs[i].items() if key not in ("prompt", "completion")}
        rows.append(
            {
                **batch,
                "prompt_id": f"{prompt_key(prompt):016x}",
                "prompt": _text(prompt),
                "completion": _text(completion),
                "answers": list(found.answers),
                "rewards": [_vector(scored, i, j) for j in range(len(found.answers))],
                "set_reward": scores[i],
                "advantage": advantages[i],
                "completion_tokens": len(ids),
                "finish_reason": "stop" if ids and ids[-1] in stop_ids else "length",
                "num_unclosed": found.num_unclosed,
                "num_extra": found.num_extra,
                "depths": loops[i],
                "residuals": residuals[i],
                "metadata": json.dumps(extra, default=str, ensure_ascii=False),
            }
        )
    return rows


def _by_token(depths: SampledDepths | None, lengths: Sequence[int]) -> tuple[list[list[int]], list[list[float]]]:
    """Depth and residual of the pass that each completion token was drawn from."""
    if depths is None:
        return [[] for _ in lengths], [[] for _ in lengths]
    loops, residuals = (depths.of_completion(t).tolist() for t in (depths.trace.depth, depths.trace.residual))
    return (
        [row[:length] for row, length in zip(loops, lengths, strict=True)],
        [row[:length] for row, length in zip(residuals, lengths, strict=True)],
    )


def _vector(scored: Sequence[RewardBatch], row: int, answer: int) -> list[float | None]:
    """All components of one answer; None for one that does not apply."""
    values = (value for part in scored for value in part.values[row][answer])
    return [None if math.isnan(value) else value for value in values]


def _text(message: Any) -> str:
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
