"""The commands of `vpo`, and how they end: a plain message for our own errors, a hint after Ctrl-C.

This module imports typer and nothing else that is heavy; each command imports what it runs. So `vpo --help` answers at
once, and works even where torch cannot be loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import vpo
from vpo.cli import completion
from vpo.cli.compare.options import compare
from vpo.cli.depth import depth
from vpo.cli.errors import of_the_machine, raised_by_us
from vpo.cli.monitor.options import monitor
from vpo.cli.overview import runs
from vpo.cli.pipeline.options import pipeline
from vpo.cli.saying import complain, guard_logs, say, say_json, tell_of_defect
from vpo.cli.search import search
from vpo.cli.search_compare.options import compare as compare_searches
from vpo.cli.tasks import tasks

_INTERRUPTED = 130  # the shell's convention: 128 + SIGINT
_BEGIN, _TRAIN, _WATCH, _SEARCH, _LOOP = "Begin", "Train", "Watch", "Search", "Looped models"
_ORDER = (
    *("demo", "doctor", "tasks", "schema"),
    *("train", "compare", "pipeline", "runs"),
    *("monitor", "report", "search", "serve", "convert", "depth"),
)


class _InOrder(TyperGroup):
    """Commands as one comes to need them; typer lists them as they were registered."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    name="vpo",
    cls=_InOrder,
    help="Post-training that keeps a language model diverse, so that search has something to choose from.",
    no_args_is_help=True,
    add_completion=False,  # typer's guesses the shell; ours are named, see vpo.cli.completion
    pretty_exceptions_enable=False,  # main() decides what an error looks like
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(depth, name="depth", rich_help_panel=_LOOP)
app.add_typer(runs, name="runs", rich_help_panel=_TRAIN)
app.add_typer(search, name="search", rich_help_panel=_SEARCH)
app.add_typer(tasks, name="tasks", rich_help_panel=_BEGIN)

search.command(name="compare")(compare_searches)
app.command(rich_help_panel=_WATCH)(monitor)
app.command(rich_help_panel=_TRAIN)(compare)
app.command(rich_help_panel=_TRAIN)(pipeline)


def main(args: Sequence[str] | None = None) -> int:
    """Run `vpo` and return its exit status; what the console script calls.

    A mistake that our own code names (a ``ValueError``, a file error or a package that is missing, raised in one of our
    packages) is printed as one message without a traceback, unless the environment variable ``VPO_DEBUG`` is set to 1.
    Errors from anywhere else are defects, and keep theirs.

    Args:
        args: Words after `vpo`; ``None`` takes them from the command line.

    Returns:
        0 on success, 1 after an error of ours, 2 for a command line that makes no sense, 130 after Ctrl-C.
    """
    completion.prepare()
    if args is None:
        guard_logs()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a log from anybody may hold what the terminal's encoding cannot say
            stream.reconfigure(errors="backslashreplace")
    try:
        result = app(args=None if args is None else list(args), prog_name="vpo")
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if status == _INTERRUPTED:
            complain("Stopped. Run the same command again to go on from what was kept.", typer.colors.YELLOW)
        return status
    except Exception as error:
        found = of_the_machine(error)
        is_ours = isinstance(error, ValueError | OSError | ImportError) and (found or raised_by_us(error))
        if is_ours and os.environ.get("VPO_DEBUG") != "1":
            complain(f"Error: {found or error}", typer.colors.RED)
            complain("(VPO_DEBUG=1 shows where it was raised.)")
            return 1
        if args is not None:
            raise
        tell_of_defect(error)  # as Python would, but for what its message may quote
        return 1
    return int(result or 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"vpo {vpo.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    show_completion: Annotated[
        completion.Shell | None,
        typer.Option(help="Print what makes Tab complete in a shell.", callback=completion.show, is_eager=True),
    ] = None,
    install_completion: Annotated[
        completion.Shell | None,
        typer.Option(help="Have a shell read that when it starts.", callback=completion.install, is_eager=True),
    ] = None,
) -> None:
    """Hold what comes before a command's name; the option does all of it."""


@app.command(rich_help_panel=_BEGIN)
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, rollouts, report.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Smoke size: all the parts, no meaningful numbers.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw a former run in OUT away, not continue it.")] = False,
) -> None:
    """Train a tiny looped policy on mazes with GRPO and with VPO, search on top of both, and write a report."""
    from vpo.cli.demo import run_demo

    raise typer.Exit(run_demo(out, seed, quick, fresh))


@app.command(rich_help_panel=_WATCH)
def report(
    run: Annotated[Path, typer.Argument(help="A run's folder, or its report.json.")] = Path("runs/demo"),
) -> None:
    """Draw a run's page again from the numbers in its report.json; nothing is trained or measured."""
    from eval.report import DemoReport, write

    if not run.exists():
        raise FileNotFoundError(f"there is no {run}: expected a demo's folder. `vpo demo` makes one; else name it.")
    numbers = run / "report.json" if run.is_dir() else run
    if not numbers.is_file():
        raise FileNotFoundError(f"{numbers} is not there: a run writes it when it ends. Let `vpo demo` finish first.")
    try:
        content = DemoReport.from_json(numbers.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{numbers}: {error} Expected the file that `vpo demo` writes: run it again.") from error
    page = numbers.with_suffix(".html")
    write(content, page)
    say(f"wrote {page}")


@app.command(rich_help_panel=_LOOP)
def convert(
    model: Annotated[str, typer.Argument(help="A pretrained causal language model: folder or hub name.")],
    out: Annotated[Path, typer.Option(help="Folder of the looped model; new or empty.")],
    prelude: Annotated[
        str | None, typer.Option(help="Layers before the loop: a number ('8'), a range ('0-7') or a list ('0,1,2').")
    ] = None,
    core: Annotated[str | None, typer.Option(help="Layers of the loop.")] = None,
    coda: Annotated[str | None, typer.Option(help="Layers after the loop.")] = None,
    choose_core: Annotated[
        int | None, typer.Option(help="Choose a core of so many layers, those with the least influence on TEXT.", min=1)
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="Text to choose by: .jsonl with 'text', or split by blank lines.", exists=True)
    ] = None,
    injection: Annotated[
        Literal["gate", "diagonal", "concat", "add", "none"],
        typer.Option(help="How the prelude's output enters every loop."),
    ] = "gate",
    retention: Annotated[float, typer.Option(help="Share of the state that one injection keeps, in (0, 1).")] = 0.1,
    loops: Annotated[int, typer.Option(help="Loops of the saved model; at 1 it is its source.", min=1)] = 1,
    drop_rest: Annotated[bool, typer.Option("--drop-rest", help="Leave out the layers that are in no part.")] = False,
) -> None:
    """Make a looped model of a pretrained one: its layers become prelude, core and coda."""
    from vpo.cli.convert import Conversion, run_convert

    parts = (prelude, core, coda)
    asked = Conversion(model, out, parts, choose_core, text, injection, retention, loops, drop_rest)
    raise typer.Exit(run_convert(asked))


@app.command(rich_help_panel=_TRAIN, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="YAML file: model, data, rewards and VPOConfig's fields.")],
    processes: Annotated[int | None, typer.Option(help="Processes to start; one a GPU by default.")] = None,
    accelerate_config: Annotated[
        Path | None,
        typer.Option(help="Configuration of `accelerate launch`, such as accelerate_config.yaml.", exists=True),
    ] = None,
) -> None:
    """Train from a recipe; any other option overrides the recipe's, as --learning_rate 2e-6 or --dry_run.

    `vpo schema train` describes all of them; `--dry_run` takes one step and saves nothing.
    """
    from vpo.cli.train import run_train

    raise typer.Exit(run_train(recipe, context.args, processes, accelerate_config))


@app.command(rich_help_panel=_SEARCH)
def serve(
    model: Annotated[str, typer.Argument(help="A policy: folder or hub name.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs VPO_SERVE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 8000,
    name: Annotated[str | None, typer.Option(help="Name of the model for clients; the folder's by default.")] = None,
    batch_size: Annotated[int, typer.Option(help="Most completions computed at once.", min=1)] = 32,
    max_new_tokens: Annotated[int, typer.Option(help="Limit for clients that set none.", min=1)] = 512,
    answers: Annotated[
        int | None, typer.Option(help="Answers of a completion, for clients that want them as choices.", min=1)
    ] = None,
    tag: Annotated[str, typer.Option(help="Name of their tags.")] = "answer",
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file, for a tokenizer without a chat template.", exists=True)
    ] = None,
) -> None:
    """Serve a policy as an OpenAI-compatible endpoint, for tools that search with any such model."""
    from vpo.cli.serve import Serving, run_serve

    asked = Serving(model, host, port, name, batch_size, max_new_tokens, answers, tag, chat_template)
    raise typer.Exit(run_serve(asked))


@app.command(rich_help_panel=_BEGIN)
def doctor(
    backend: Annotated[
        Literal["zygote", "bubblewrap"], typer.Option(help="The kind of sandbox to look at.")
    ] = "zygote",
) -> None:
    """Say what is installed and fits, what there is to compute with, and what the sandbox for generated code enforces.

    Every line says ok, note or missing, and the cure. Exits with 1 if code got out of the sandbox or part of it is not
    enforced here; the other lines change nothing about that.
    """
    from vpo.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(backend))


@app.command(rich_help_panel=_BEGIN)
def schema(
    kind: Annotated[
        Literal["train", "arms", "search", "search-compare", "pipeline"], typer.Argument(help="The kind of YAML file.")
    ],
) -> None:
    """Print the JSON schema of a kind of YAML file: vpo schema train > train.schema.json.

    With `# yaml-language-server: $schema=train.schema.json` as its first line, editors complete a file's keys and mark
    mistakes. The commands check their files with the same schema.
    """
    from vpo.cli.schema import schema_of_file

    say_json(schema_of_file(kind))
