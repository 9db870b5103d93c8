"""What commands print as plain lines. All of it goes through `vpo.visible`: any of it may quote a stranger's file.

Tables, styles and bars are `vpo.cli.console`'s. Nothing else in this package may print; a test sees to it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from typing import Any

import typer

from vpo.visible import visible, visible_json


def say(text: str, *, flush: bool = False) -> None:
    """Print text as lines of standard output."""
    print(visible(text), flush=flush)


def say_json(value: Any) -> None:
    """Print a value as JSON that a program may read and a terminal may show.

    Raises:
        ValueError: A number in it is not finite.
    """
    print(visible_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def complain(text: str, color: str | None = None) -> None:
    """Print text as lines of standard error, in a colour where that is a terminal."""
    typer.secho(visible(text), fg=color, err=True)


def tell_of_defect(error: Exception) -> None:
    """Print an error as Python prints one that nobody caught."""
    sys.stderr.write(visible("".join(traceback.format_exception(error))))


def guard_logs() -> None:
    """Have warnings of our logs go the same way, where nobody has set a handler up. For a process that is a command."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Visible())


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))
