"""`vpo search compare`: read, search, print, draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from eval.report.comparison import ComparisonReport, Wording, write_comparison
from eval.report.styles import arm_styles, policy_of, procedure_of, search_styles
from search.driver import Progress
from search.records import SearchResult
from vpo.cli.console import Console, text_column
from vpo.cli.saying import say
from vpo.cli.search_compare.config import Config, read_config
from vpo.cli.search_compare.runs import Run, do_runs, plan
from vpo.cli.search_compare.summary import summarise
from vpo.cli.study.runner import only_runner
from vpo.record import RunFile

PAGE = "comparison.html"
WORDING = Wording(
    eyebrow="Search at equal generated tokens",
    row="policy / procedure",
    curves="Best answer so far",
    curves_lead=(
        "Higher and further left is better. Colour tells the policy, dash and marker the procedure. Bands: 95% by "
        "bootstrap over problems and seeds, at each budget by itself. The last charts are paired differences: above 0, "
        "the arm is ahead of the one that it is held against; they begin where every policy has had room for a whole "
        "completion."
    ),
    figures_lead="At the end of the budget. Mean ± standard error over seeds.",
    differences_lead=(
        "On the same problems and seeds; 95% intervals resample both, p by Wilcoxon's signed ranks over problems."
    ),
    column_notes={
        "best": "w* · r of the best answer, the mean over problems.",
        "E_w[best]": "The best answer for a taste drawn at random, averaged over tastes.",
        "AUC over tokens": "Mean height of the best-so-far curve over the token budget.",
        "AUC over answers": "Mean height of the best-so-far curve over as many answers as every arm could pay for.",
        "hypervolume": "Volume that the reward vectors found dominate, from the configuration's `reference`.",
        "signatures": "Distinct reward vectors among the answers to a problem.",
        "duplicates": "Share of the answers that the search had seen before.",
        "answers": "Answers that the budget paid for.",
        "tokens": "Completion tokens that were generated.",
    },
)
_SHOWN = ("best", "E_w[best]", "AUC over tokens", "AUC over answers")


def run_search_compare(file: Path, out: Path | None, command: str) -> int:
    """Run or continue a comparison of searches.

    Args:
        file: Its configuration, see `vpo.cli.search_compare.config`.
        out: Folder that takes the place of the configuration's.
        command: The command line, for the report.

    Returns:
        0 when all searches are done and the page is written.

    Raises:
        ValueError: The configuration, a policy, a procedure or a problem is not what it should be.
        LedgerError: The folder holds ledgers of another comparison.
    """
    report = compare_searches(read_config(file, out), command)
    print_searches(report)
    say(f"report: {(out or read_config(file).out) / PAGE}")
    return 0


def compare_searches(config: Config, command: str) -> ComparisonReport:
    """Do what is not done of a comparison; page and numbers are written after each seed."""
    runs = plan(config)
    done: list[tuple[Run, list[SearchResult]]] = []
    report: ComparisonReport | None = None
    columns = [text_column("{task.description}"), BarColumn(), text_column("{task.percentage:>3.0f}%")]
    console = Console(stderr=True)
    with (
        only_runner(config.out),
        Bars(*columns, TimeElapsedColumn(), text_column("left"), TimeRemainingColumn(), console=console) as bars,
    ):
        record = RunFile(config.out)
        record.begin("compare", asdict(config), seeds={"seeds": list(config.seeds)}, resumes=record.read() is not None)
        whole = bars.add_task("all searches", total=len(runs))
        current = bars.add_task("starting", total=1.0)

        def progress(run: Run, state: Progress) -> None:
            share = state.completion_tokens / (config.budget * state.num_problems)
            bars.update(current, description=f"{run.arm}, seed {run.seed}", completed=share)

        try:
            for run, results in do_runs(config, progress):
                done.append((run, results))
                bars.advance(whole)
                if len(done) % (len(runs) // len(config.seeds)) == 0:
                    report = summarise(config, done, command)
                    write_searches(report, config.out / PAGE)  # what is known so far survives a stop
        except KeyboardInterrupt:
            raise SystemExit(130) from None  # the command line says how to go on
        record.end(len(done), len(runs), "all searches done")
    assert report is not None, "a configuration has a seed, a policy and a procedure"
    return report


def write_searches(report: ComparisonReport, page: Path) -> None:
    """The page, and the numbers beside it."""
    styles = search_styles(report.table, arm_styles(policy_of(key) for key in report.table))
    write_comparison(report, page, WORDING, styles)


def print_searches(report: ComparisonReport) -> None:
    """One table a policy, the differences, and where curves lie above each other, on standard output."""
    console = Console()
    for policy in dict.fromkeys(policy_of(key) for key in report.table):
        rows = {procedure_of(key): row for key, row in report.table.items() if policy_of(key) == policy}
        figures = Table(title=policy, caption="mean ± standard error over seeds")
        figures.add_column("metric")
        for procedure in rows:
            figures.add_column(procedure, justify="right")
        for name in next(iter(rows.values())):
            figures.add_row(name, *[row[name].text for row in rows.values()])
        console.print(figures)
    _print_differences(console, report)
    for finding in report.findings:
        console.print(f"- {finding}")
    for note in report.notes:
        console.print(f"- {note}", style="dim")


def _print_differences(console: Console, report: ComparisonReport) -> None:
    pairs: Sequence[tuple[str, str]] = list(dict.fromkeys((each.arm, each.against) for each in report.differences))
    if not pairs:
        return
    table = Table(title="paired differences, 95% interval over problems and seeds, p over problems")
    table.add_column("")
    for name in _SHOWN:
        table.add_column(name, justify="right")
    for pair in pairs:
        found = {each.metric: each for each in report.differences if (each.arm, each.against) == pair}
        cells = ["\n".join(found[name].parts) if name in found else "" for name in _SHOWN]
        table.add_row(f"{pair[0]}\n− {pair[1]}", *cells)
        table.add_section()
    console.print(table)
