"""`docs/depth.md` holds against what it calls."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import typer

from vpo.cli.depth import depth

GUIDE = (Path(__file__).parents[3] / "docs" / "depth.md").read_text()


def test_the_example_prints_what_is_said() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "docs/depth.md", "exec"), {})
    (promised,) = re.findall(r"It prints `(.*?)`", GUIDE)
    assert printed.getvalue().strip() == promised


def test_every_option_that_it_names_is_one() -> None:
    command = typer.main.get_command(depth).commands["report"]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = set(re.findall(r"--[a-z][a-z-]*", GUIDE))
    assert len(named) > 8 and named <= known
