"""How far a run got, read from what its kind writes as it goes."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpo.cli.overview.finding import CHECKPOINT, ROLLOUTS, Kind
from vpo.record.objects import read_object

_MARKS_OF_AN_END = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors", "done.json")


@dataclass
class Progress:
    """How far it got.

    Attributes:
        steps: See `Standing`.
        of: There.
        reward: There.
        checkpoint: There.
        is_done: What it should leave in the end is there.
        is_held: Its lock is held, so it runs.
        left_over: What there is to go on from, in words.
        problems: Files that are there and cannot be read.
    """

    steps: int | None = None
    of: int | None = None
    reward: float | None = None
    checkpoint: int | None = None
    is_done: bool = False
    is_held: bool = False
    left_over: str = ""
    problems: list[str] = field(default_factory=list)


def progress_of(path: Path, kind: Kind, record: Mapping[str, Any] | None) -> Progress:
    """How far the run in a folder got."""
    found = {"train": _train, "search": _search, "demo": _demo, "compare": _compare}[kind](path, record)
    if record is None and (path / "run.json").exists():
        found.problems.append("run.json cannot be read")
    return found


def _train(path: Path, record: Mapping[str, Any] | None) -> Progress:
    found = Progress(of=_steps_meant(record))
    state: dict[str, Any] = {}
    for step, folder in sorted(_checkpoints(path), reverse=True):
        state = read_object(folder / "trainer_state.json") or {}  # written last: without it, the checkpoint is half
        if isinstance(state.get("global_step"), int):
            found.checkpoint = step
            break
    logged = _last_reward(state)
    sampled, reward = _rollouts(path / "rollouts")
    ended = (record or {}).get("ended") or {}
    found.steps = _furthest(found.checkpoint, None if sampled is None else sampled + 1)
    if isinstance(ended.get("step"), int):
        found.steps = ended["step"]
    found.reward = logged if reward is None else reward
    if found.of is None and isinstance(state.get("max_steps"), int) and state["max_steps"] > 0:
        found.of = state["max_steps"]
    if record is None:  # what tells then: all steps, or what is saved in the folder itself in the end
        is_through = found.of is not None and (found.steps or 0) >= found.of
        found.is_done = is_through or any((path / name).is_file() for name in _MARKS_OF_AN_END)
    found.left_over = "no whole checkpoint"
    return found


def _search(path: Path, record: Mapping[str, Any] | None) -> Progress:
    from search.ledger import read_results

    found, ledger = Progress(left_over="nothing in its ledger"), path / "ledger.jsonl"
    found.is_held = is_locked(ledger)
    if not ledger.is_file():
        return found
    try:
        results = read_results(ledger)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        found.problems.append(f"ledger.jsonl cannot be read: {error}")
        return found
    found.steps = sum(result.answers[-1] for result in results)
    best = [result.best[-1] for result in results if not math.isnan(result.best[-1])]
    found.reward = sum(best) / len(best) if best else None
    found.left_over = "can be resumed from its ledger"
    return found


def _demo(path: Path, record: Mapping[str, Any] | None) -> Progress:
    settings = read_object(path / "settings.json") or {}
    arms = settings.get("arms")
    arms = [arm["name"] for arm in arms if isinstance(arm, dict) and "name" in arm] if isinstance(arms, list) else []
    done = sum((path / "arms" / str(name) / "done.json").is_file() for name in arms)
    is_done = (path / "report.html").is_file() and done == len(arms)
    held, left = is_locked(path / "lock"), "goes on at the stage it was at"
    return Progress(done, len(arms) or None, is_done=is_done, is_held=held, left_over=left)


def _compare(path: Path, record: Mapping[str, Any] | None) -> Progress:
    done = sum(1 for _ in path.glob("*/seed*/done.json"))
    ended = (record or {}).get("ended") or {}
    if isinstance(ended.get("step"), int):
        done = ended["step"]
    of = ended.get("of") if isinstance(ended.get("of"), int) else None
    # None at none: the searches of a comparison leave ledgers, which do not say whether they are done
    return Progress(done or None, of, is_held=is_locked(path / "lock"), left_over="goes on with the run it was at")


def is_locked(path: Path) -> bool:
    """Whether some process holds a file, as the kernel lists it; taking the lock to find out could fail a run."""
    try:
        facts = os.stat(path)
        mark = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    return any("FLOCK" in line and mark in line.split() for line in lines)


def _checkpoints(path: Path) -> list[tuple[int, Path]]:
    try:
        found = [(CHECKPOINT.match(entry.name), Path(entry.path)) for entry in os.scandir(path) if entry.is_dir()]
    except OSError:
        return []
    return [(int(match[1]), folder) for match, folder in found if match is not None]


def _rollouts(folder: Path) -> tuple[int | None, float | None]:
    """Last step of a rollout log, and its mean set reward."""
    try:
        files = [(int(match[1]), name) for name in os.listdir(folder) if (match := ROLLOUTS.match(name))]
    except OSError:
        return None, None
    if not files:
        return None, None
    last = max(step for step, _ in files)
    import pyarrow as pa
    import pyarrow.parquet as pq

    scores: list[float] = []
    for step, name in files:
        if step == last:
            try:
                scores += pq.read_table(folder / name, columns=["set_reward"])["set_reward"].to_pylist()
            except (pa.ArrowException, OSError, KeyError):
                continue
    scores = [each for each in scores if isinstance(each, float) and math.isfinite(each)]
    return last, sum(scores) / len(scores) if scores else None


def _furthest(checkpoint: int | None, sampled: int | None) -> int | None:
    return checkpoint if sampled is None else max(sampled, checkpoint or 0)


def _last_reward(state: Mapping[str, Any]) -> float | None:
    history = state.get("log_history")
    for entry in reversed(history if isinstance(history, list) else []):
        reward = entry.get("reward") if isinstance(entry, dict) else None
        # NaN is in no range, and a whole number of a thousand digits is compared without becoming a float
        if isinstance(reward, (int, float)) and abs(reward) <= sys.float_info.max:
            return float(reward)
    return None


def _steps_meant(record: Mapping[str, Any] | None) -> int | None:
    from vpo.record import latest

    if record is None:
        return None
    if isinstance((record["ended"] or {}).get("of"), int):
        return record["ended"]["of"]
    settings = latest(record)
    if settings.get("settings.training.max_generated_tokens"):
        return None  # the budget ends it, at a step that nobody knows
    steps = settings.get("settings.training.max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None
