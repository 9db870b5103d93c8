"""What a run found out about its model, as its card shows it: last values, formats, depths, data and versions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from vpo.looped import looped_policy
from vpo.model_card import Table, escaped
from vpo.record.surroundings import versions

_MOST_FORMATS = 8
_SHOWN = ("loss", "reward", "reward_std", "entropy", "kl", "completions/mean_length", "completions/clipped_ratio")
_SHOWN_BY_PREFIX = ("set/", "rewards/", "eval_reward", "cross_entropy", "mean_token_accuracy")
_VERSIONS = ("python", "vpo", "trl", "transformers", "torch", "datasets", "tokenizers", "accelerate", "peft", "vllm")


def data_table(trainer: Any) -> Table:
    """What it was trained on, without the folders of this machine."""
    script: Mapping[str, Any] = getattr(getattr(trainer, "run_record", None), "more", {}).get("script") or {}
    rows: list[list[Any]] = []
    if script.get("task"):
        rows.append(["task", script["task"]])
        options = script.get("task_options")
        rows += [[f"option {name}", value] for name, value in options.items()] if isinstance(options, Mapping) else []
    elif script.get("dataset_name"):
        name = str(script["dataset_name"])
        rows.append(["data set", Path(name).name if Path(name).exists() else name])
        rows.append(["split", script.get("dataset_train_split")])
    rows_of = trainer.train_dataset
    if hasattr(rows_of, "__len__"):
        rows.append(["rows", len(rows_of)])
    if hasattr(rows_of, "column_names"):
        rows.append(["columns", ", ".join(rows_of.column_names or [])])
    return Table("Training data", rows)


def last_values(trainer: Any) -> Table:
    """Values of the last log, which say how training went and not how good the model is."""
    last: dict[str, Any] = {}
    for entry in trainer.state.log_history:
        last |= entry
    rows = [
        [name, value]
        for name, value in sorted(last.items())
        if (name in _SHOWN or name.startswith(_SHOWN_BY_PREFIX)) and _is_finite(value)
    ]
    note = "Means over the last logged steps of training, on training prompts."
    return Table("Last values of training", rows, ["metric", "value"], note if rows else "")


def format_tables(folder: Path) -> list[Table]:
    """Shares of formats at the beginning and the end, and the verdict, if a collapse monitor watched the run."""
    run = _monitored(folder)
    if run is None or not run.get("looks"):
        return []
    first, last = run.get("base") or run["looks"][0], run["looks"][-1]
    before, now = (_shares(look) for look in (first, last))
    labels = sorted({*before, *now}, key=lambda label: -max(before.get(label, 0.0), now.get(label, 0.0)))
    rows = [[label, _percent(before.get(label)), _percent(now.get(label))] for label in labels[:_MOST_FORMATS]]
    alarms = len(run.get("alarms") or [])
    note = (
        f"Verdict of the collapse monitor: {escaped(run.get('verdict'))}. {escaped(run.get('why') or '')} "
        f"{alarms or 'No'} alarm{'s' if alarms > 1 else ''} in {len(run['looks'])} looks; "
        f"reference: {escaped(run.get('reference') or 'the first look')}."
    )
    head = ["format", f"share at step {int(first.get('step') or 0)}", f"at step {int(last.get('step') or 0)}"]
    return [Table("Formats of its answers", rows, head, note)]


def depth_tables(trainer: Any, model: Any) -> list[Table]:
    """Who decides how often a looped model loops, and how deep it went; none of a model without a loop."""
    looped = looped_policy(model)
    if looped is None:
        return []
    policy = looped.depth_policy
    settings = asdict(policy) if is_dataclass(policy) and not isinstance(policy, type) else {}
    rows: list[list[Any]] = [["depth policy", type(policy).__name__], ["cap", policy.cap]]
    rows += [[name.replace("tol", "tolerance") if name == "tol" else name, value] for name, value in settings.items()]
    rows = [row for i, row in enumerate(rows) if row[0] not in [each[0] for each in rows[:i]] and row[1] is not None]
    last: dict[str, Any] = {}
    for entry in trainer.state.log_history:
        last |= entry
    named = {
        "loops/mean_depth": "mean depth of completion tokens",
        "loops/prompt_depth": "mean depth of prompt tokens",
        "loops/cap_rate": "share of tokens stopped by the cap",
        "loops/residual": "relative change in the last loop",
        "depth": "mean depth in training",
    }
    rows += [[title, last[name]] for name, title in named.items() if _is_finite(last.get(name))]
    return [Table("Depth", rows, (), "Depths are loops of the core for one token, at the last logged step.")]


def versions_table() -> Table:
    """Versions of what it was trained with."""
    return Table("Versions", [[name, version] for name, version in versions(*_VERSIONS).items()])


def _monitored(folder: Path) -> dict[str, Any] | None:
    try:
        run = json.loads((folder / "monitor" / "report.json").read_text(encoding="utf-8"))["runs"][0]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return run if isinstance(run, dict) else None


def _shares(look: Mapping[str, Any]) -> dict[str, float]:
    return {label: share["est"] for label, share in look.get("shares", {}).get("format", {}).items()}


def _percent(share: float | None) -> str:
    return "0%" if share is None else f"{share:.0%}"


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
