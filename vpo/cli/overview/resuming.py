"""`vpo runs resume`: the command that `vpo runs` prints, run where the run was begun, if it is safe to."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import vpo
from vpo.cli.overview.continuing import continuing_words
from vpo.cli.overview.finding import Kind, kind_of
from vpo.cli.overview.our_commands import module_words, recipe_of
from vpo.cli.overview.progress import progress_of
from vpo.cli.overview.standing import standing
from vpo.record import RunFile
from vpo.record.plain import LEFT_OUT
from vpo.yaml_file import read_yaml

# Settings through which a recipe runs code that is not ours, besides its reward functions
_RUN_CODE = ("env", "task", "task_options", "model_init_kwargs", "reward_funcs")


def resume_run(folder: Path, dry_run: bool, trust: bool) -> int:
    """Go on with a run.

    Args:
        folder: The run's.
        dry_run: Print the command alone.
        trust: Whether code of one's own that its settings name may be run.

    Returns:
        0 after a dry run; else it does not return, as the command takes the place of this process.

    Raises:
        FileNotFoundError: There is no such folder, or it is no run's.
        ValueError: The run is alive or done, there is nothing to go on from, its command is not ours or belongs to
            another folder, or it names code of one's own.
    """
    kind = _kind(folder)
    record = RunFile(folder).read()
    words = _words(folder, kind, record)
    if LEFT_OUT in " ".join(words):
        raise ValueError(
            f"the command of {folder} holds a secret that was left out: expected one without. `vpo runs` prints it; "
            "put the secret back and run it by hand."
        )
    module = module_words(words)
    print(shlex.join(words), flush=True)
    if dry_run:
        return 0
    where = (record or {}).get("working_directory")
    if kind in ("train", "compare") and where != os.getcwd():
        raise ValueError(
            f"the run was begun in {where}, and its files are named from there: expected to be there, as what lies in "
            f"a folder can decide what is run. cd {shlex.quote(str(where))} and run this again with {folder.resolve()}."
        )
    named = list(_own_code(folder, kind, module))
    if named and not trust:
        raise ValueError(
            f"the run's settings name code that is not vpo's ({', '.join(named[:3])}): expected --trust for that. Look "
            "at it, and run this again with --trust if it is yours."
        )
    sys.stdout.flush()
    # In the place of this process: signals reach the run, and its exit status is the command's
    os.execve(sys.executable, [sys.executable, "-m", *module], _environment())


def _kind(folder: Path) -> Kind:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: expected one of a run. `vpo runs` lists what there is.")
    entries = list(os.scandir(folder))
    kind = kind_of(folder, [e.name for e in entries if e.is_dir()], [e.name for e in entries if e.is_file()])
    if kind is None:
        raise FileNotFoundError(
            f"{folder} is no folder of a run: expected one with run.json or checkpoints. `vpo runs {folder}` lists the "
            "runs below it."
        )
    return kind


def _words(folder: Path, kind: Kind, record: Mapping[str, Any] | None) -> list[str]:
    """The command that goes on, or why there is none."""
    stands = standing(folder, kind)
    state = f"{stands.state} ({stands.detail})" if stands.detail else stands.state
    if stands.state == "running":
        raise ValueError(f"{folder} is {state}: expected a run that has stopped. Stop it first, or wait for its end.")
    if stands.state == "unknown":
        raise ValueError(f"{folder} is {state}: expected a run of this machine. Resume it there, or by hand.")
    if stands.state == "finished":
        raise ValueError(f"{folder} is {state}: there is nothing to resume. `vpo runs show {folder}` says what it was.")
    progress = progress_of(folder, kind, record)
    if kind == "train" and progress.checkpoint is None:
        raise ValueError(f"{folder} has no whole checkpoint: there is nothing to resume. Start it anew.")
    words = continuing_words(folder, kind, record, progress)
    if words is None:
        raise ValueError(
            f"{folder} was not started by a command of vpo, as far as its run.json says: expected one to start again. "
            "`vpo runs` prints what to hand to your script."
        )
    return words


def _own_code(folder: Path, kind: Kind, module: Sequence[str]) -> Iterator[str]:
    """Names of code that the run's settings have it run and that is not ours."""
    if kind == "search":
        search = read_yaml(folder / "search.yaml").content
        parts = [each.get("name", "") if isinstance(each, dict) else each for each in search.values()]
        yield from (each for each in parts if isinstance(each, str) and (":" in each or each.endswith(".py")))
        if isinstance(problem := search.get("problem"), dict):
            yield from (f"problem {name}" for name in ("folder", "evaluator") if name in problem)
        return
    recipe, flags = recipe_of(module)
    settings = read_yaml(recipe).content if recipe is not None and recipe.is_file() else {}
    for name in _RUN_CODE:
        given = [settings[name]] if name in settings else []
        given += _given(flags, name)
        for value in given:
            if name == "env" or any(_is_foreign(text, name) for text in _texts(value)):
                yield f"{name}: {value}"
    if "--arms" in " ".join(flags):
        yield "--arms"


def _given(flags: Sequence[str], name: str) -> list[str]:
    """Values of an option on a command line, which may be spelt with hyphens, shortened, or have several."""
    found, is_it = [], False
    for word in flags:
        if word.startswith("--"):
            spelt, equals, _ = word[2:].replace("-", "_").partition("=")
            is_it = bool(spelt) and name.startswith(spelt)
            found += [word.partition("=")[2]] if is_it and equals else []
        elif is_it:
            found.append(word)
    return found


def _is_foreign(text: str, name: str) -> bool:
    if name == "model_init_kwargs":
        return "trust_remote_code" in text
    if name == "reward_funcs":
        return "." in text or "/" in text
    return text.endswith(".py") or ("." in text and not text.startswith("vpo.") and " " not in text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _environment() -> dict[str, str]:
    """This process's, in which no module is found in the working directory, and ours are found where they lie."""
    root = Path(vpo.__file__).resolve().parents[1]
    paths = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    if "site-packages" not in root.parts:  # a checkout: an installation is found without help
        paths.insert(0, str(root))
    found = {**os.environ, "PYTHONSAFEPATH": "1"}
    return found | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})
