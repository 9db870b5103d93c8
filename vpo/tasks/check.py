"""Is a task fit to train on? Its scorer against good, damaged and hostile answers, before a run depends on it.

Checked: the scorer raises for no text, returns one number a component, finite or None; the reward functions that a
trainer will call say the same; the reference answers earn full marks. Measured: ranges of the components, answers a
second, and whether the vector is one in fact (`vpo.collinearity`). There is no policy here: the figures are those of
the task's own ``attempt``, or else of reference answers with some of their words exchanged.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vpo.tasks.hostile import damaged, hostile_answers
from vpo.tasks.protocol import Row, Task, Vector

if TYPE_CHECKING:
    from vpo.collinearity import RewardGeometry

_VARIANTS = 24  # answers of middling quality to each row
_HOSTILE_ROWS = 2  # hostile answers are the same for every row, but for what the row's reference holds


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        components: Names.
        ranges: For each component the lowest and highest value seen; None where it never applied.
        failures: What is wrong, one sentence each; empty for a task that is fit.
        remarks: What is worth a look, but no failure.
        num_rows: Rows looked at.
        num_answers: Answers scored.
        num_references: Rows with a reference answer, and how many of those earn 1 wherever a component applies.
        measured_on: What the next figures are of: "attempts", "damaged reference answers", or nothing.
        answers_per_s: Of those, how many the scorer judges in a second; NaN without any.
        geometry: Whether the vector is one in fact; None without any.
        slowest: The answer that took longest, and its seconds.
    """

    components: tuple[str, ...]
    ranges: list[tuple[float, float] | None]
    failures: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    num_rows: int = 0
    num_answers: int = 0
    num_references: tuple[int, int] = (0, 0)
    measured_on: str = ""
    answers_per_s: float = math.nan
    geometry: RewardGeometry | None = None
    slowest: tuple[str, float] = ("", 0.0)


def check_task(task: Task, rows: Sequence[Row], seed: int = 0) -> CheckReport:
    """Check a task on some of its rows.

    Args:
        task: Any task.
        rows: Rows of its `dataset`, one at least.
        seed: Of the damage.

    Raises:
        ValueError: There are no rows, or the task cannot score yet, as code without a runner.
    """
    if not rows:
        raise ValueError("there are no rows to check a task on: expected one at least.")
    list(task.reward_funcs)  # what is missing altogether is one error, not one an answer
    report = CheckReport(task.components, [None] * len(task.components), num_rows=len(rows))
    _check_weights(task, report)
    references = [_reference(task, row, report) for row in rows]
    known = [reference for reference in references if reference is not None]
    full = 0
    for row, reference in zip(rows, references, strict=True):
        if reference is not None:
            vector = _score(task, reference, row, "the reference answer", report)
            full += vector is not None and all(value in (1, None) for value in vector)
    report.num_references = (len(known), full)
    if full < len(known):
        report.remarks.append(f"{len(known) - full} of {len(known)} reference answers earn less than 1 somewhere.")
    for row, reference in list(zip(rows, references, strict=True))[:_HOSTILE_ROWS]:
        for what, answer in hostile_answers(task.tag, [reference] if reference else []).items():
            _score(task, answer, row, what, report)
    _measure(task, rows, references, report, random.Random(seed))
    return report


def _check_weights(task: Task, report: CheckReport) -> None:
    weights = task.w_star
    if len(weights) != len(task.components):
        report.failures.append(f"w_star has {len(weights)} weights for {len(task.components)} components.")
    elif any(weight < 0 for weight in weights) or abs(sum(weights) - 1) > 1e-6:
        report.failures.append(f"w_star is {weights}: expected weights of at least 0 that sum to 1.")


def _reference(task: Task, row: Row, report: CheckReport) -> str | None:
    try:
        return task.reference(row)
    except Exception as error:
        report.failures.append(f"reference(row) raised {type(error).__name__}: {_short(error)}")
        return None


def _score(task: Task, answer: str, row: Row, what: str, report: CheckReport) -> Vector | None:
    """Score, note what is wrong with it, and compare with the reward functions; None if it raised."""
    start = time.perf_counter()
    try:
        vector = task.score(answer, row)
    except Exception as error:
        _note(report, f"score raised {type(error).__name__} for {what}: {_short(error)}")
        return None
    report.slowest = max(report.slowest, (what, time.perf_counter() - start), key=lambda entry: entry[1])
    report.num_answers += 1
    wrong = _wrong(vector, task.components)
    if wrong:
        _note(report, f"score returned {_short(vector)} for {what}: {wrong}")
        return None
    for i, value in enumerate(vector):
        if value is not None:
            low, high = report.ranges[i] or (value, value)
            report.ranges[i] = (min(low, value), max(high, value))
    _check_reward_funcs(task, answer, row, vector, what, report)
    return vector


def _check_reward_funcs(task: Task, answer: str, row: Row, vector: Vector, what: str, report: CheckReport) -> None:
    """Call the reward functions as a trainer does, with one answer, and compare."""
    columns = {name: [value] for name, value in row.items() if name != "prompt"}
    completion: Any = answer if isinstance(row["prompt"], str) else [{"role": "assistant", "content": answer}]
    try:
        found: list[Any] = []
        for function in task.reward_funcs:
            rewards = function(prompts=[row["prompt"]], completions=[completion], **columns)
            (reward,) = asyncio.run(_await(rewards)) if inspect.isawaitable(rewards) else rewards
            found += [reward[name] for name in task.components] if isinstance(reward, dict) else _listed(reward)
    except Exception as error:
        _note(report, f"a reward function raised {type(error).__name__} for {what}: {_short(error)}")
        return
    if found != list(vector):
        _note(report, f"the reward functions returned {_short(found)} for {what}, score {_short(vector)}.")


def _measure(
    task: Task, rows: Sequence[Row], references: Sequence[str | None], report: CheckReport, rng: random.Random
) -> None:
    """Ranges, throughput and geometry of answers of middling quality."""
    known = [reference for reference in references if reference is not None]
    attempt = getattr(task, "attempt", None)
    if attempt is None and not known:
        return
    report.measured_on = "damaged reference answers" if attempt is None else "attempts"
    table = []
    seconds = 0.0
    for row, reference in zip(rows, references, strict=True):
        if attempt is not None:
            answers = [attempt(row, rng) for _ in range(_VARIANTS)]
        elif reference is not None:
            answers = [damaged(reference, known, rng) for _ in range(_VARIANTS)]
        else:
            continue
        start = time.perf_counter()
        vectors = [_score(task, answer, row, "one of the " + report.measured_on, report) for answer in answers]
        seconds += time.perf_counter() - start
        if any(vector is None for vector in vectors):
            return
        table.append([[0.0 if value is None else float(value) for value in vector or ()] for vector in vectors])
    report.answers_per_s = len(table) * _VARIANTS / max(seconds, 1e-9)
    import torch

    from vpo.collinearity import reward_geometry

    rewards = torch.tensor(table, dtype=torch.float64)
    # Damage that hit nothing leaves a perfect answer, which every taste would choose; what do the others offer?
    mask = torch.ones(rewards.shape[:2], dtype=torch.bool) if attempt is not None else ~(rewards == 1).all(dim=-1)
    report.geometry = reward_geometry(rewards, mask)
    for i, name in enumerate(task.components):
        if report.ranges[i] is not None and (rewards[..., i] == rewards[0, 0, i]).all():
            report.remarks.append(f"component '{name}' is {rewards[0, 0, i]:g} for all of the {report.measured_on}.")


def _wrong(vector: Any, components: Sequence[str]) -> str:
    if not isinstance(vector, (tuple, list)):
        return f"expected a tuple of {len(components)} numbers."
    if len(vector) != len(components):
        return f"expected {len(components)} entries, there are {len(vector)}."
    for value in vector:
        if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
            return "expected finite numbers, or None where a component does not apply."
    return ""


def _note(report: CheckReport, failure: str) -> None:
    if failure not in report.failures:
        report.failures.append(failure)


def _listed(reward: Any) -> list[Any]:
    reward = reward.tolist() if hasattr(reward, "tolist") else reward
    return list(reward) if isinstance(reward, (tuple, list)) else [reward]


async def _await(rewards: Any) -> Any:
    return await rewards


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else str(value) if isinstance(value, Exception) else repr(value)
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 120 else text[:117] + "..."
