"""Runs one stage of an OpenEvolve evaluator. The text of this file is what the sandbox executes; nobody imports it.

Standard library alone, since the sandbox sees none of our packages.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import math
import os
import sys
import types
from dataclasses import dataclass, field
from typing import Any


@dataclass
class EvaluationResult:
    """Stand-in for ``openevolve.evaluation_result.EvaluationResult``, for hosts without that package."""

    metrics: dict[str, Any]
    artifacts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, metrics: dict[str, Any]) -> EvaluationResult:
        """Metrics without artifacts."""
        return cls(metrics=metrics)

    def to_dict(self) -> dict[str, Any]:
        """The metrics."""
        return self.metrics

    def has_artifacts(self) -> bool:
        """Whether there are any."""
        return bool(self.artifacts)


def run_stage(
    files: dict[str, str], evaluator: str, name: str, program: str, stage: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Lay out the folder, load the evaluator, and call one function of it.

    Args:
        files: Path in the folder -> content in base 64.
        evaluator: Which of them has the functions.
        name: What the candidate's file is called.
        program: The candidate.
        stage: Function to call with the candidate's path; "" to say which stages there are.
        options: Further arguments of the function.

    Returns:
        ``{"stages": [...]}``, or ``{"metrics": {...}, "artifacts": {...}}``; a number that JSON has not, as its text.
    """
    folder = os.getcwd()
    for path, content in files.items():
        place = os.path.join(folder, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(base64.b64decode(content))
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(program)
    _provide_openevolve()
    sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location("evaluation_module", os.path.join(folder, evaluator))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluation_module"] = module
    spec.loader.exec_module(module)
    if not stage:
        known = ("evaluate", "evaluate_stage1", "evaluate_stage2", "evaluate_stage3")
        return {"stages": [each for each in known if callable(getattr(module, each, None))]}
    found = getattr(module, stage)(path, **options)
    metrics = found if isinstance(found, dict) else getattr(found, "metrics", None)
    if not isinstance(metrics, dict):
        raise TypeError(
            f"{stage} returned a {type(found).__name__}: expected a dict of metrics or an EvaluationResult."
        )
    artifacts = dict(getattr(found, "artifacts", None) or {})
    numbers: dict[str, Any] = {}
    for key, value in metrics.items():
        if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
            numbers[str(key)] = bool(value)
        elif isinstance(value, (int, float)) or hasattr(value, "__float__"):
            number = float(value)
            numbers[str(key)] = number if math.isfinite(number) else repr(number)
        elif key == "artifacts" and isinstance(value, dict):
            artifacts.update(value)
        else:
            artifacts.setdefault(key, value)  # an error's text, most often
    return {"metrics": numbers, "artifacts": {str(key): _text(value) for key, value in artifacts.items()}}


def _text(value: Any) -> str:
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value))[:20_000]


def _provide_openevolve() -> None:
    """Make ``from openevolve.evaluation_result import EvaluationResult`` work."""
    try:
        if importlib.util.find_spec("openevolve") is not None:
            importlib.import_module("openevolve.evaluation_result")
            return
    except Exception:  # it is installed, and cannot be imported in here
        for key in [each for each in sys.modules if each.split(".")[0] == "openevolve"]:
            del sys.modules[key]
    package, part = types.ModuleType("openevolve"), types.ModuleType("openevolve.evaluation_result")
    package.__path__ = []
    part.EvaluationResult = EvaluationResult  # type: ignore[attr-defined]
    package.evaluation_result = part  # type: ignore[attr-defined]
    package.EvaluationResult = EvaluationResult  # type: ignore[attr-defined]
    sys.modules["openevolve"], sys.modules["openevolve.evaluation_result"] = package, part
