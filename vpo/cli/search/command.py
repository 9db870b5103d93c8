"""`vpo search run`, `resume` and `replay`."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from rich.progress import BarColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from search.driver import GaveUpError, Progress, SearchInterrupted, run_search
from search.ledger import is_free, read_told
from search.replay import Difference, replay_search
from search.samplers import SamplerError
from search.screening.registry import make_predictor
from vpo.cli.console import Console, text_column
from vpo.cli.own_code import code_of_search, require_trust
from vpo.cli.search.config import CONFIG, LEDGER, SearchConfig, read_config
from vpo.cli.search.parts import (
    make_backoff,
    make_budget,
    make_problems,
    make_procedure,
    make_sampler,
    make_sampling,
    make_screen,
)
from vpo.cli.search.show import screen_summary, summary
from vpo.record import RunFile

_MOST_SHOWN = 12  # differences; one cause often shows in every answer


def run_config(path: Path) -> int:
    """Search as a file says, into its folder.

    Raises:
        ValueError: The file makes no sense, or its folder holds another search.
    """
    config = read_config(path)
    folder = Path(config.out)
    kept = folder / CONFIG
    if kept.is_file() and read_config(kept) != config:
        # One that failed before it had sampled anything left a folder, and its file was mended: nothing is lost
        if not is_free(folder / LEDGER):
            raise ValueError(
                f"{folder} holds another search (see {kept}), expected the one of {path}: give another `out`, or "
                f"resume that one with `vpo search resume {folder}`."
            )
        kept.unlink()
    return _search(config, folder)


def resume_folder(folder: Path, max_seconds: float | None, trust: bool) -> int:
    """Go on with the search of a folder.

    Raises:
        ValueError: Its settings name code that is not ours, without ``trust``.
        FileNotFoundError: It is no search's.
    """
    return _search(_trusted(_config_of(folder), trust), folder, max_seconds)


def replay_folder(folder: Path, evaluate: bool, trust: bool) -> int:
    """Compute the search of a folder again and print what was found; errors as of `resume_folder`."""
    config = _trusted(_config_of(folder), trust)
    ledger = _ledger_of(folder)
    counter = make_sampler(config) if "max_total_tokens" in config.budget else None
    found = replay_search(
        make_problems(config),
        make_procedure(config),
        ledger,
        evaluate=evaluate,
        evaluators=config.evaluators,
        count_tokens=getattr(counter, "count_tokens", None),
    )
    console = Console()
    console.print(summary(read_told(ledger)))
    console.print(
        f"{found.num_told} completions replayed, every request as it was asked for; {found.num_open} more were not told"
    )
    if evaluate:
        console.print(f"{found.num_evaluated} distinct answers evaluated again, {len(found.differences)} differences")
    for each in found.differences[:_MOST_SHOWN]:
        console.print(_described(each))
    if len(found.differences) > _MOST_SHOWN:
        console.print(f"... and {len(found.differences) - _MOST_SHOWN} more")
    return 1 if found.differences else 0


def _search(config: SearchConfig, folder: Path, max_seconds: float | None = None) -> int:
    budget, sampling, retry = make_budget(config, max_seconds), make_sampling(config), make_backoff(config)
    screen = make_screen(config)
    problems, make = make_problems(config), make_procedure(config)
    for problem in problems[:1]:  # a wrong name or option is an error before a model is loaded and there is a folder
        make(problem)
        if screen is not None:
            make_predictor(screen, problem)
    sampler = make_sampler(config)
    console = Console(stderr=True)
    columns = [text_column("{task.description}"), BarColumn(), text_column("{task.percentage:>3.0f}%")]
    with Bars(*columns, TimeElapsedColumn(), text_column("{task.fields[left]}"), console=console) as bars:
        bar = bars.add_task("starting", total=1.0, left="")

        said = ""

        def report(progress: Progress) -> None:
            nonlocal said
            if progress.switched != said:
                said = progress.switched
                console.print(said)
            bars.update(bar, description=_status(progress), completed=progress.share_spent, left=_left(progress))

        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / CONFIG).is_file():
            (folder / CONFIG).write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
        record = _recorded(config, folder, max_seconds)
        options: dict[str, Any] = {"sampling": sampling, "retry": retry, "screen": screen, **config.driver_options}
        try:
            run_search(problems, make, sampler, budget, ledger_path=folder / LEDGER, progress=report, **options)
        except SearchInterrupted as stop:
            bars.stop()
            console.print(f"{stop}\nTo go on: {_resume(config, folder)}", soft_wrap=True)
            raise SystemExit(130) from None
        except (GaveUpError, SamplerError) as stop:
            bars.stop()
            console.print(f"Error: {stop}\nTo go on: {_resume(config, folder)}", soft_wrap=True)
            raise SystemExit(1) from None
    told = read_told(folder / LEDGER)
    record.end(sum(len(each.results) for each in told), None, "budget spent or nothing left to ask")
    out = Console()
    out.print(summary(told))
    for line in screen_summary(folder / LEDGER):
        out.print(line)
    console.print(f"wrote {folder / LEDGER}; how an answer came about: vpo search show {folder} -p 0", soft_wrap=True)
    return 0


def _recorded(config: SearchConfig, folder: Path, max_seconds: float | None) -> RunFile:
    """The search's ``run.json``; one that is at its end and is only looked at again adds nothing to it."""
    record, ledger = RunFile(folder), folder / LEDGER
    former = record.read()
    if former is None or former["ended"] is None or max_seconds is not None:
        lines = ledger.read_bytes().count(b"\n") if ledger.is_file() else 0
        settings = {"search": asdict(config), "max_seconds": max_seconds}
        record.begin("search", settings, seeds={"seed": config.seed}, step=lines, resumes=lines > 0)
    return record


def _trusted(config: SearchConfig, trust: bool) -> SearchConfig:
    require_trust(code_of_search(vars(config)), trust, "search")
    return config


def _resume(config: SearchConfig, folder: Path) -> str:
    """The command that goes on; with the trust that this search has already, as its file or ``--trust`` was given."""
    named = any(True for _ in code_of_search(vars(config)))
    return shlex.join(["vpo", "search", "resume", str(folder)]) + (" --trust" if named else "")


def _config_of(folder: Path) -> SearchConfig:
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected the folder of a search, which `vpo search run` makes.")
    return read_config(path)


def _ledger_of(folder: Path) -> Path:
    path = folder / LEDGER
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: the search has not begun. Start it: vpo search resume {folder}")
    return path


def _status(progress: Progress) -> str:
    best = "-" if progress.best is None else f"{progress.best:.6g}"
    solved = f", {progress.num_solved} solved" if progress.num_solved else ""
    dropped = f", {progress.num_dropped} screened out" if progress.num_dropped or progress.num_screening else ""
    return (
        f"best {best} (mean {progress.mean_best:.4g}){solved}; {progress.num_answers} answers{dropped}, "
        f"{progress.completion_tokens} tokens"
    )


def _left(progress: Progress) -> str:
    if progress.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} left"


def _described(each: Difference) -> str:
    answer = " ".join(each.answer.split())[:60]
    return f"DIFFERS: {each.problem_id}, completion {each.number}, {answer!r}: {each.recorded} there, {each.now} now"
