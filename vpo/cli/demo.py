"""`vpo demo`: the whole way in one command, from a warm start to a page that shows what became of it."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from eval.report import DemoReport, write
from vpo.cli.console import Console
from vpo.cli.hardware import hardware
from vpo.cli.saying import say
from vpo.cli.study.page import build_report
from vpo.cli.study.runner import only_runner, run_studies
from vpo.cli.study.settings import QUICK, Settings
from vpo.record.surroundings import versions


def run_demo(out: Path, seed: int = 0, quick: bool = False, fresh: bool = False) -> int:
    """Run or continue the demo in ``out`` and write ``report.html`` there.

    Args:
        out: Folder of the run.
        seed: Seed of everything that is drawn.
        quick: Smoke size: every part runs, the numbers mean nothing.
        fresh: Delete a former run in ``out`` first.

    Returns:
        0 when the page is written.

    Raises:
        ValueError: ``out`` holds another study, or something that is no study.
        StageError: A stage failed; its log is named.
    """
    console = Console(stderr=True)
    if fresh and out.exists():
        _delete_study(out)
    if out.exists() and not (out / "settings.json").exists() and _others(out):
        raise ValueError(f"{out} holds files but no demo: choose an empty folder with --out.")
    settings = Settings(seed=seed, **(QUICK if quick else {}))
    if (out / "settings.json").exists():
        console.print(f"Continuing the run in {out}.")
    started = time.perf_counter()
    try:
        run_studies([(out, settings)])
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # the command line says how to go on
    with console.status("drawing the report"):
        report = build_report(
            out,
            settings,
            command=" ".join(["vpo demo", f"--seed {seed}", *(["--quick"] if quick else [])]),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            hardware=hardware(),
            versions=versions("vpo", "torch", "transformers", "trl"),
        )
        write(report, out / "report.html")
    console.print(f"Done in {(time.perf_counter() - started) / 60:.1f} min.")
    _print_numbers(report)
    say(f"report: {out / 'report.html'}")
    return 0


def _print_numbers(report: DemoReport) -> None:
    columns = ("best@1", "best@3", "best@30", "E_w[best@3]", "E_w[best@30]", "pool L1", "completion share")
    table = Table(title="held-out mazes")
    table.add_column("policy")
    for name in columns:
        table.add_column(name, justify="right")
    for row in report.table:
        cells = [row.metrics.get(name) for name in columns]
        table.add_row(row.arm, *["" if cell is None else f"{cell:.3f}" for cell in cells])
    Console().print(table)
    say(" | ".join(f"{figure.name}: {figure.value}" for figure in report.summary))
    for verdict in report.verdicts:
        say(f"{verdict.name}: {verdict.figure} (target {verdict.target}) {'ok' if verdict.ok else 'short'}")


def _delete_study(out: Path) -> None:
    if not (out / "settings.json").exists() and _others(out):
        raise ValueError(f"{out} does not look like a demo run: --fresh deletes only those. Remove it by hand.")
    with only_runner(out):
        shutil.rmtree(out)


def _others(out: Path) -> list[str]:
    """What lies in a folder besides the traces of a run that was stopped at once."""
    return [path.name for path in out.iterdir() if path.name not in ("lock", "settings.json.tmp", "logs")]
