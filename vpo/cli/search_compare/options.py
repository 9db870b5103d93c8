"""The command line of `vpo search compare`. Imports typer and nothing heavy, like :mod:`vpo.cli.app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    config: Annotated[Path, typer.Argument(help="YAML file: problems, policies, procedures, seeds, budget.")],
    out: Annotated[Path | None, typer.Option(help="Folder of ledgers and report; else the file's `out`.")] = None,
) -> None:
    """Search with several policies and procedures at one token budget; best-of-n is always among them."""
    from vpo.cli.search_compare.command import run_search_compare

    command = f"vpo search compare {config}" + (f" --out {out}" if out else "")
    raise typer.Exit(run_search_compare(config, out, command))
