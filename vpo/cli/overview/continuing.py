"""The command that goes on with a run: what started it, with the checkpoint to go on from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vpo.cli.overview.finding import Kind
from vpo.cli.overview.progress import Progress
from vpo.record.objects import read_object
from vpo.record.plain import LEFT_OUT

_RESUME = "--resume_from_checkpoint"


def continuation(path: Path, kind: Kind, record: Mapping[str, Any] | None, progress: Progress) -> str | None:
    """The command, as one would type it here; None if there is none to give.

    A run of a script of one's own is continued by that script: what to hand to ``train`` is said instead.
    """
    words = continuing_words(path, kind, record, progress)
    if words is not None:
        return shlex.join(words) if kind in ("search", "demo") else _from_here(words, record)
    if kind == "train" and progress.checkpoint is not None:
        return f"trainer.train(resume_from_checkpoint={_checkpoint(path, progress)!r})"
    return None


def continuing_words(path: Path, kind: Kind, record: Mapping[str, Any] | None, progress: Progress) -> list[str] | None:
    """The command's words, for the folder in which the run was begun; None if nothing of ours began it."""
    if kind == "search":
        return ["vpo", "search", "resume", str(path)]
    if kind == "demo":
        return _demo(path)
    words = _typed(record)
    if words is None or kind == "compare":
        return words
    if not _is_ours(words):
        return None
    if progress.checkpoint is None:
        return _without_resume(words)
    return [*_without_resume(words), _RESUME, _checkpoint(path, progress)]


def _checkpoint(path: Path, progress: Progress) -> str:
    return str((path / f"checkpoint-{progress.checkpoint}").resolve())


def _typed(record: Mapping[str, Any] | None) -> list[str] | None:
    """The words of the latest session, without the interpreter in front of a console script."""
    if record is None:
        return None
    words = record["resumed"][-1].get("command") if record["resumed"] else record["command"]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        return None
    for i, word in enumerate(words[:3]):
        if Path(word).name in ("vpo", "accelerate", "torchrun") and not word.startswith("-"):
            return [Path(word).name, *words[i + 1 :]]
    if words[1:3] == ["-m", "vpo.cli"]:
        return ["vpo", *words[3:]]
    return ["python", *words[1:]] if Path(words[0]).name.startswith("python") else words


def _is_ours(words: Sequence[str]) -> bool:
    """Whether the command takes a recipe's options, and with them a checkpoint."""
    return "trainers.vpo" in words or list(words[:2]) == ["vpo", "train"]


def _without_resume(words: Sequence[str]) -> list[str]:
    kept, is_value = [], False
    for word in words:
        if is_value:
            is_value = False
        elif word == _RESUME:
            is_value = True
        elif not word.startswith(f"{_RESUME}="):
            kept.append(word)
    return kept


def _from_here(words: Sequence[str], record: Mapping[str, Any] | None) -> str:
    command = shlex.join(words)
    if LEFT_OUT in command:
        command += "  # put the secret back that was left out"
    folder = (record or {}).get("working_directory")
    if isinstance(folder, str) and folder != str(Path.cwd()):
        return f"cd {shlex.quote(folder)} && {command}"
    return command


def _demo(path: Path) -> list[str]:
    from vpo.cli.study.settings import QUICK

    settings = read_object(path / "settings.json") or {}
    quick = all(settings.get(name) == value for name, value in QUICK.items())
    words = ["vpo", "demo", "--out", str(path), "--seed", str(settings.get("seed", 0))]
    return [*words, *(["--quick"] if quick else [])]
