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
from vpo.cli.own_code import code_of_recipe, code_of_search, require_trust
from vpo.cli.saying import say
from vpo.record import RunFile
from vpo.record.plain import LEFT_OUT
from vpo.yaml_file import read_yaml


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
    say(shlex.join(words), flush=True)
    if dry_run:
        return 0
    where = (record or {}).get("working_directory")
    if kind in ("train", "compare") and where != os.getcwd():
        raise ValueError(
            f"the run was begun in {where}, and its files are named from there: expected to be there, as what lies in "
            f"a folder can decide what is run. cd {shlex.quote(str(where))} and run this again with {folder.resolve()}."
        )
    if require_trust(_own_code(folder, kind, module), trust) and kind == "search":
        module.append("--trust")  # which that command asks for as well
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
    """What the run's settings name that is not ours."""
    if kind == "search":
        yield from code_of_search(read_yaml(folder / "search.yaml").content)
        return
    recipe, flags = recipe_of(module)
    settings = read_yaml(recipe).content if recipe is not None and recipe.is_file() else {}
    yield from code_of_recipe(settings, flags)


def _environment() -> dict[str, str]:
    """This process's, in which no module is found in the working directory, and ours are found where they lie."""
    root = Path(vpo.__file__).resolve().parents[1]
    paths = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    if "site-packages" not in root.parts:  # a checkout: an installation is found without help
        paths.insert(0, str(root))
    found = {**os.environ, "PYTHONSAFEPATH": "1"}
    return found | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})
