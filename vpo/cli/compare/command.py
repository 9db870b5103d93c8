"""`vpo compare`: plan, run, print, draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from eval.report.comparison import ComparisonReport, write_comparison
from vpo.cli.compare.arms import read_arms
from vpo.cli.compare.runs import Plan, Run, do_runs
from vpo.cli.compare.summary import summarise
from vpo.cli.console import Console, text_column
from vpo.cli.saying import say
from vpo.cli.study.runner import only_runner
from vpo.record import RunFile


def run_compare(
    recipe: Path,
    objectives: Sequence[str],
    arms_file: Path | None,
    seeds: int,
    budget: int,
    answers: int,
    prompts: int,
    out: Path | None,
    processes: int | None,
    accelerate_config: Path | None,
    command: str,
) -> int:
    """Run or continue a comparison; see `vpo.cli.compare.options.compare` for the arguments.

    Returns:
        0 when all runs are done and the page is written.

    Raises:
        ValueError: The recipe is no file or no mapping, an arm is unknown, or numbers do not fit each other.
        RunError: A run failed.
    """
    import torch

    from trainers.vpo import make_parser
    from vpo.yaml_file import read_yaml

    if not recipe.is_file():
        raise ValueError(f"there is no recipe {recipe}: expected a YAML file.")
    file = read_yaml(recipe)
    make_parser().check(file)
    content = file.content
    folder = out or Path("runs") / "compare" / recipe.stem
    plan = Plan(content, read_arms(objectives, arms_file), seeds, budget, answers, prompts, folder)
    gpus = torch.cuda.device_count()
    if accelerate_config is not None and not gpus:
        say(f"there is no GPU here: {accelerate_config} is left aside.", flush=True)
        accelerate_config = None
    runs = plan.runs()
    done: list[Run] = []
    report: ComparisonReport | None = None
    columns = [text_column("{task.description}"), BarColumn(), text_column("{task.percentage:>3.0f}%")]
    console = Console(stderr=True)
    with (
        only_runner(folder),
        Progress(*columns, TimeElapsedColumn(), text_column("left"), TimeRemainingColumn(), console=console) as bars,
    ):
        record = RunFile(folder)
        settings = {**asdict(plan), "processes": processes, "accelerate_config": accelerate_config}
        record.begin("compare", settings, seeds={"seeds": seeds}, resumes=record.read() is not None)
        whole = bars.add_task("all runs", total=len(runs))
        current = bars.add_task("starting", total=budget)

        def progress(run: Run, tokens: int) -> None:
            bars.update(current, description=f"{run.arm}, seed {run.seed}", completed=min(tokens, budget))

        try:
            for run in do_runs(runs, processes, accelerate_config, gpus, progress):
                done.append(run)
                bars.advance(whole)
                if len(done) > 1 and len({each.arm for each in done}) > 1:
                    report = summarise(plan, done, command, f"{recipe.stem}: {', '.join(plan.arms)}")
                    write_comparison(report, folder / "comparison.html")  # what is known so far survives a stop
        except KeyboardInterrupt:
            raise SystemExit(130) from None  # the command line says how to go on
        record.end(len(done), len(runs), "all runs done")
    if report is not None:
        print_comparison(report)
    say(f"report: {folder / 'comparison.html'}")
    return 0


def print_comparison(report: ComparisonReport) -> None:
    """The table and the differences, on standard output."""
    console = Console()
    figures = Table(title=report.title, caption="mean ± standard error over seeds")
    names = list(next(iter(report.table.values())))
    figures.add_column("metric")
    for arm in report.table:
        figures.add_column(arm, justify="right")
    for name in names:
        figures.add_row(name, *[row[name].text for row in report.table.values()])
    console.print(figures)
    differences = Table(title="paired differences, 95% interval over prompts and seeds")
    differences.add_column("metric")
    pairs = list(dict.fromkeys((each.arm, each.against) for each in report.differences))
    for arm, against in pairs:
        differences.add_column(f"{arm} − {against}", justify="right")
    for name in dict.fromkeys(each.metric for each in report.differences):
        found = {(each.arm, each.against): each for each in report.differences if each.metric == name}
        differences.add_row(name, *[found[pair].text if pair in found else "" for pair in pairs])
    if pairs:
        console.print(differences)
    for note in report.notes:
        console.print(f"- {note}")
