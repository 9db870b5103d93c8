"""An OpenEvolve task folder as it is published: initial program, evaluator, configuration, and files beside them."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LEFT_OUT = ("openevolve_output", "__pycache__", "checkpoints", "logs")
_MOST_BYTES = 8 << 20
_MARKER = re.compile(r"^\W*EVOLVE-BLOCK-(START|END)\b")
_TEMPLATE = "system_message"  # what an unset system message is called in their configuration


@dataclass(frozen=True)
class TaskFolder:
    """What a folder holds.

    Attributes:
        name: Of the folder.
        files: Path -> content in base 64; all that an evaluator may read.
        evaluator: File name of the evaluator.
        initial_program: Text of the program to begin with.
        suffix: Ending of programs, such as ".py".
        system_message: Of the configuration; "" if it has none.
        timeout: Seconds of a stage.
        thresholds: Scores that stages 1 and 2 must reach for the next one; None if stages are not used.
        evaluator_args: Further arguments of ``evaluate``.
        enforce_blocks: Whether only what stands between EVOLVE-BLOCK markers may change.
    """

    name: str
    files: Mapping[str, str]
    evaluator: str
    initial_program: str
    suffix: str = ".py"
    system_message: str = ""
    timeout: float = 300.0
    thresholds: tuple[float, ...] | None = (0.5, 0.75, 0.9)
    evaluator_args: Mapping[str, Any] = field(default_factory=dict)
    enforce_blocks: bool = False


def read_folder(
    folder: str | Path,
    initial_program: str | None = None,
    evaluator: str = "evaluator.py",
    config: str | None = None,
) -> TaskFolder:
    """Read a task folder.

    Args:
        folder: With ``initial_program.py`` (or another ending), ``evaluator.py``, and ``config.yaml`` if there is one.
        initial_program: Name of that file, if it is another.
        evaluator: Name of that file.
        config: Name of that file, if it is not ``config.yaml``.

    Raises:
        ValueError: A file is missing, the configuration cannot be read, or there are more than 8 MiB of files.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}: expected an OpenEvolve task, with evaluator.py in it.")
    found = [root / initial_program] if initial_program else sorted(root.glob("initial_program.*"))
    if len(found) != 1 or not found[0].is_file():
        raise ValueError(
            f"{root} has {[each.name for each in found if each.is_file()]} for an initial program: expected one file "
            "initial_program.py. Name yours by initial_program=."
        )
    if not (root / evaluator).is_file():
        raise ValueError(f"{root} has no {evaluator}: expected one with evaluate(program_path). Name yours.")
    if config is not None and not (root / config).is_file():
        raise ValueError(f"{root} has no {config}: expected the configuration. Name one that is there.")
    found_config = _config(root, ("config.yaml", "config.yml") if config is None else (config,))
    settings = _part(found_config, "evaluator")
    message = _part(found_config, "prompt").get("system_message") or ""
    timeout = settings.get("timeout", 300)
    thresholds = settings.get("cascade_thresholds", [0.5, 0.75, 0.9])
    if not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise ValueError(f"{root}: evaluator.timeout is {timeout!r}: expected seconds.")
    if not isinstance(thresholds, list) or not all(isinstance(each, (int, float)) for each in thresholds):
        raise ValueError(f"{root}: evaluator.cascade_thresholds is {thresholds!r}: expected a list of numbers.")
    uses_stages = bool(settings.get("cascade_evaluation", True)) and bool(thresholds)
    return TaskFolder(
        name=root.resolve().name,
        files=_files(root),
        evaluator=evaluator,
        initial_program=found[0].read_text(encoding="utf-8"),
        suffix=found[0].suffix,
        system_message="" if message == _TEMPLATE else str(message).strip(),
        timeout=float(timeout),
        thresholds=tuple(map(float, thresholds)) if uses_stages else None,
        evaluator_args=dict(settings.get("evaluator_args") or {}),
        enforce_blocks=bool(found_config.get("enforce_evolve_blocks", False)),
    )


def keep_blocks(initial: str, program: str) -> str:
    """The initial program with the contents of its EVOLVE-BLOCKs replaced by those of ``program``.

    A program without blocks to begin with may be changed anywhere.

    Raises:
        ValueError: The program has not as many blocks.
    """
    outside, own = _split(initial)
    if not own:
        return program
    _, new = _split(program)
    if len(new) != len(own):
        raise ValueError(
            f"the program has {len(new)} EVOLVE-BLOCKs: expected {len(own)}, with their START and END lines unchanged"
        )
    parts = [part for pair in zip(outside, new, strict=False) for part in pair]
    return "\n".join(line for part in [*parts, outside[-1]] for line in part)


def num_blocks(program: str) -> int:
    """How many EVOLVE-BLOCKs a program has."""
    return len(_split(program)[1])


def _split(program: str) -> tuple[list[list[str]], list[list[str]]]:
    """Lines outside of the blocks, the markers among them, and inside; one part more outside than inside."""
    outside: list[list[str]] = [[]]
    inside: list[list[str]] = []
    is_in = False
    for line in program.split("\n"):
        match = _MARKER.match(line)
        kind = match.group(1) if match else None
        if kind == "START" and not is_in:
            outside[-1].append(line)
            inside.append([])
            is_in = True
        elif kind == "END" and is_in:
            outside.append([line])
            is_in = False
        else:
            (inside[-1] if is_in else outside[-1]).append(line)
    if is_in:  # never closed: no block
        outside[-1] += inside.pop()
    return outside, inside


def _config(root: Path, names: Sequence[str]) -> dict[str, Any]:
    import yaml

    for name in names:
        if (root / name).is_file():
            try:
                found = yaml.safe_load((root / name).read_text(encoding="utf-8"))
            except yaml.YAMLError as error:
                raise ValueError(f"{root / name} cannot be read ({error}): expected YAML.") from error
            if not isinstance(found, dict | None):
                raise ValueError(f"{root / name} holds a {type(found).__name__}: expected sections by name.")
            return found or {}
    return {}


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"the configuration's {name!r} is {found!r:.80}: expected settings by name.")
    return found


def _files(root: Path) -> dict[str, str]:
    paths = [
        path for path in sorted(root.rglob("*")) if path.is_file() and not _is_left_out(path.relative_to(root).parts)
    ]
    size = sum(path.stat().st_size for path in paths)
    if size > _MOST_BYTES:
        raise ValueError(
            f"{root} holds {size >> 20} MiB of files, which every evaluation would be sent: expected at most "
            f"{_MOST_BYTES >> 20} MiB. Copy what the evaluator reads to a folder of its own."
        )
    return {path.relative_to(root).as_posix(): base64.b64encode(path.read_bytes()).decode() for path in paths}


def _is_left_out(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") or part.startswith(_LEFT_OUT) for part in parts)
