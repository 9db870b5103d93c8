"""All targets, and a session of any length with one: it goes on after a finding, and keeps the shortest input of it."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz import checkpoints, ledgers, recipes, requests, run_folders
from tests.fuzz.target import Target

TARGETS: list[Target] = [
    *recipes.TARGETS,
    *ledgers.TARGETS,
    *run_folders.TARGETS,
    *requests.TARGETS,
    *checkpoints.TARGETS,
]
_ROUND = 50  # examples of one hypothesis run; its choices repeat less often over several short ones


@dataclass
class Session:
    """What a target was given, and what came of it.

    Attributes:
        seconds: Of this process's processor time; on a busy machine the wall clock says little.
        examples: Inputs.
        findings: What went wrong, by its kind and place, and the shortest input that does it.
    """

    seconds: float = 0.0
    examples: int = 0
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)


def session(target: Target, seconds: float, first_seed: int) -> Session:
    """Feed a target for so long by the wall clock; its inputs are a function of the seed."""
    found = Session()
    began, spent = time.perf_counter(), time.process_time()
    number = first_seed
    while time.perf_counter() - began < seconds:
        _round(target, number, found, began + seconds)
        number += 1
    found.seconds = time.process_time() - spent
    return found


def _round(target: Target, number: int, found: Session, until: float) -> None:
    @seed(number)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(target.inputs())
    def check(value: Any) -> None:
        if time.perf_counter() > until:
            return
        found.examples += 1
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                target.check(value)
        except Exception as error:
            frames = reversed(traceback.extract_tb(error.__traceback__)[-3:])
            where = " < ".join(f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno}" for frame in frames)
            kind = f"{type(error).__name__} at {where}"
            entry = found.findings.setdefault(kind, {"times": 0, "message": str(error)[:600], "input": repr(value)})
            entry["times"] += 1
            if len(repr(value)) < len(entry["input"]):
                entry.update(message=str(error)[:600], input=repr(value))

    check()
