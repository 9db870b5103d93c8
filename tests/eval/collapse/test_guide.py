"""The guide to the monitor holds against the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.main import get_command

from eval.collapse.quantities import Thresholds
from eval.collapse.records import Verdict
from vpo.cli.app import app

GUIDE = (Path(__file__).parents[3] / "docs" / "monitor.md").read_text()


def test_the_example_runs_and_finds_the_collapse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(source, "docs/monitor.md", "exec"), {})
    said = capsys.readouterr().out
    assert "'format: agreement'" in said
    assert said.splitlines()[-1].startswith("benign selection 'python' went from")


def test_the_commands_have_the_options_that_are_named():
    commands = [shlex.split(line) for line in re.findall(r"^    (vpo monitor .*)$", GUIDE, re.MULTILINE)]
    known = {option for each in get_command(app).commands["monitor"].params for option in each.opts}
    named = {word for words in commands for word in words if word.startswith("--")}
    named |= set(re.findall(r"`(--[a-z-]+)", GUIDE)) - {"--monitor", "--host"}  # `vpo train`'s, Trackio's
    assert len(commands) == 4 and len(named) > 8
    assert named <= known


def test_every_verdict_is_explained():
    for verdict in Verdict.__args__:
        assert f"| {verdict} |" in GUIDE


def test_the_thresholds_are_those_of_the_code():
    defaults = Thresholds()
    assert (defaults.dominance, defaults.rise, defaults.narrowing, defaults.coverage) == (0.8, 0.2, 0.6, 0.02)
    for words in ("may\nhave 80%", "base share + .2", ".6 must be left", "fall by .02"):
        assert words.replace("\n", " ") in GUIDE.replace("\n", " ")
