"""`docs/depth.md` holds against what it calls."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import typer

from eval.depth import verdict
from vpo.cli.depth import depth
from vpo.cli.study.sampling import policy_folder

GUIDE = (Path(__file__).parents[3] / "docs" / "depth.md").read_text()


def test_the_example_prints_what_is_said() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "docs/depth.md", "exec"), {})
    (promised,) = re.findall(r"It prints `(.*?)`", GUIDE)
    assert printed.getvalue().strip() == promised


def test_the_demos_model_lies_where_it_says() -> None:
    assert f"vpo depth report {policy_folder(Path('runs/demo'), 'VPO')} --task maze" in GUIDE


def test_every_kind_of_its_table_can_be_the_verdict() -> None:
    table = GUIDE[GUIDE.index("| seen |") : GUIDE.index("The first that applies")]
    named = {kind for row in table.strip().splitlines()[2:] for kind in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert {*verdict.FIRST, *verdict.THEN, "more_loops", "sweet_spot", "halt", "keep"} == named


def test_every_option_that_it_names_is_one() -> None:
    command = typer.main.get_command(depth).commands["report"]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = set(re.findall(r"--[a-z][a-z-]*", GUIDE))
    assert len(named) > 8 and named <= known
