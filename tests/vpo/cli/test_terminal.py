"""What a stranger wrote reaches the terminal as text: no control character, no markup, no link."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from search.budget import Budget
from search.driver import run_search
from search.procedures import Evolution
from search.records import Sampling
from tests.checkout import ROOT
from tests.eval.collapse.stream import mixture
from tests.search.cli_parts import digits
from tests.vpo.cli.test_runs import train_run
from tests.vpo.cli.test_search import Lines
from vpo.cli.app import main
from vpo.cli.console import Console, text_column, words
from vpo.cli.saying import guard_logs, say_json
from vpo.visible import STEERS, visible, visible_json

STYLES = re.compile(r"\x1b\[[0-9;]*m")  # colours and weights, which are ours
HOSTILE = [
    *("\x1b[2J\x1b]0;title\x07", "\x1b]52;c;cm0gLXJmIH4=\x07", "ok\rError", "ab\x08\x08cd", "\x9b31m", "\x7f"),
    *("\u202edet\u202c", "\u2066x", "\U000e0041", "a\u2028b", "é 日本 😀"),
    *("[red]x[/red]", "[link=https://evil.example]x[/link]", "[/]", "[bold", ":skull:"),
]
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12), st.lists(st.sampled_from(HOSTILE)).map("".join))


def said(command: list[str], width: str = "160") -> str:
    """All that a command says on either stream."""
    both = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        patch.setenv("COLUMNS", width)
        patch.setenv("TERM", "xterm-256color")
        main(command)
    both.seek(0)
    return both.read()


def search(folder: Path, text: str) -> list[list[str]]:
    """A search of a problem that is called so; its answers begin with it, and each has it as its artifact."""
    path = folder / "ledger.jsonl"
    options = {"batch": 2, "sampling": Sampling(max_new_tokens=9), "ledger_path": path}
    problems = [Lines(text + "toy-0", num_answers=1)]
    run_search(problems, lambda p: Evolution(p.vary), digits(), Budget(max_answers=6), **options)
    rows = list(map(json.loads, path.read_text().split("\n")[:-1]))
    for answer in (answer for row in rows for answer in row.get("answers", ())):
        answer |= {"answer": text + answer["answer"], "artifact": text}
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    return [["search", "show", str(folder)], ["search", "show", str(folder), "-p", "0", "--id", "3"]]


def run(folder: Path, text: str) -> list[list[str]]:
    """Records whose every text is a stranger's, and an alarm of theirs."""
    run = train_run(folder / "run", ["vpo", "train", text, f"--{text}"], note=text)
    record = json.loads((run / "run.json").read_text())
    record |= {"started": text, "working_directory": text, "versions": {text: text}, "environment": {text: text}}
    record["resumed"] = [{"at": text, "step": text, "command": [text], "changes": [dict.fromkeys(CHANGE, text)]}]
    record["process"] = {**record["process"], "host": text}
    (run / "monitor").mkdir()
    alarm = {"step": 3, "level": "critical", "verdict": text, "quantities": [text]}
    (run / "monitor" / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    (run / "monitor" / "looks.jsonl").write_text("{}\n")
    (run / "run.json").write_text(json.dumps(record))
    ended = train_run(folder / "ended")
    record |= {"ended": {"at": text, "step": text, "of": text, "why": text}, "seeds": {text: 1}}
    (ended / "run.json").write_text(json.dumps(record))
    show = [["runs", "show", str(each)] for each in (run, ended)]
    return [["runs", str(folder)], *show, ["runs", "compare", str(run), str(ended)], ["runs", "resume", str(run)]]


CHANGE = ("name", "before", "now")


def log(folder: Path, text: str) -> list[list[str]]:
    """Completions that begin with it, so that it names a format, and components that are called so."""
    rng = np.random.default_rng(0)
    rows = []
    for step in range(1, 5):
        share = (0.4, 0.3, 0.3) if step < 3 else (0.98, 0.01, 0.01)
        for sample, name in zip(*_samples(step, share, rng), strict=True):
            rows.append(
                {"step": step, "prompt": name, "completion": f"{text} {sample}", "correct": 1.0, text[:40]: 0.5}
            )
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [["monitor", str(path), "--workers", "1", "--facets", "format,opening", "--alert", "console"]]


def _samples(step: int, share: tuple[float, ...], rng: np.random.Generator) -> tuple[list[str], list[str]]:
    found = mixture(step, share, (0.5, 0.4, 0.3), rng, prompts=16, spread=40.0)
    return found.texts, list(found.prompt_ids)


def mistakes(folder: Path, text: str) -> list[list[str]]:
    """Files with a key or a value that is wrong, or that are none; messages quote them."""
    text = text.replace("\0", "")
    key, value, raw = (folder / f"{name}.yaml" for name in ("key", "value", "raw"))
    key.write_text(yaml.safe_dump({text: 1}, allow_unicode=True), encoding="utf-8")
    value.write_text(yaml.safe_dump({"learning_rate": text, "sampler": {text: text}}), encoding="utf-8")
    raw.write_text(f"a: {text}: {text}\n", encoding="utf-8", errors="replace")
    pq.write_table(pa.table({text or "x": [1]}), folder / "odd.parquet")
    commands = [["train"], ["search", "run"], ["search", "compare"], ["pipeline"]]
    found = [[*words, str(path)] for words, path in zip(commands, [value, key, raw, key], strict=True)]
    return [*found, ["monitor", str(folder / "odd.parquet")], ["runs", "show", text or "x"]]


@pytest.mark.parametrize("plant", [search, run, mistakes])
@given(text=texts)
@example(text="".join(HOSTILE))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_text_of_a_stranger_steers_the_terminal(plant: Callable[[Path, str], list[list[str]]], text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        for command in plant(Path(name), text):
            found = said(command)
            assert not STEERS.search(found), (command, ascii(found))


@given(text=st.sampled_from(HOSTILE))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@example(text="".join(HOSTILE))
def test_the_monitor_quotes_completions_as_text(text):
    with tempfile.TemporaryDirectory() as name:
        (command,) = log(Path(name), text)
        found = said(command)
        assert not STEERS.search(found), ascii(found)


@pytest.mark.parametrize("text", ["[red]x[/red]", "[link=https://evil.example]x[/link]", "[/]", ":skull:", "\x1b[2J"])
def test_markup_of_a_stranger_is_shown_as_it_stands(tmp_path, text):
    shown = visible(text)
    all_of_it, one = (said(command) for command in search(tmp_path, text))
    assert shown + "toy-0" in all_of_it and one.count(shown) >= 3
    (tmp_path / "runs").mkdir()
    for command in run(tmp_path / "runs", text):
        if command[1] not in ("resume", "compare"):
            assert shown in said(command, "500"), command


@pytest.mark.parametrize("text", HOSTILE)
def test_in_a_terminal_nothing_but_our_own_styles_steers(tmp_path, monkeypatch, text):
    monkeypatch.setenv("FORCE_COLOR", "1")
    styled = False
    for command in search(tmp_path, text):
        found = said(command)
        styled |= bool(STYLES.search(found))
        assert not STEERS.search(STYLES.sub("", found)), ascii(found)
    assert styled, "no style at all: this was no terminal"


def printed(*renderables: Any, **options: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=60)
    for each in renderables:
        console.print(each, **options)
    return file.getvalue()


@given(text=texts, style=st.sampled_from([None, "bold", "red"]))
@settings(max_examples=100, deadline=None)
def test_all_that_a_console_prints_is_text_or_its_style(text, style):
    table = Table("a", text, title=text, caption=text)
    table.add_row(text, Text(text))
    for each in (
        text,
        Text(text),
        Text(text, style="link https://evil.example"),
        words(text),
        table,
        [text],
        {text: text},
    ):
        found = printed(each, style=style)
        assert not STEERS.search(STYLES.sub("", found)), ascii(found)
        assert "\x1b]" not in found, "a link"
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60)
    with Progress(text_column("{task.description}"), console=console, auto_refresh=False) as bars:
        bars.add_task(text, total=1)
        bars.refresh()
    with console.status(text):
        pass
    moves = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")  # a bar's own: back to its line, clear it, hide the cursor
    assert not STEERS.search(moves.sub("", file.getvalue())), ascii(file.getvalue())


def test_columns_fit_what_is_shown():
    table = Table("name", "best")
    table.add_row("\x1b[2J", "1")
    table.add_row("plain", "2")
    lines = STYLES.sub("", printed(table)).splitlines()
    assert len({len(line) for line in lines if line}) == 1 and any("\\x1b[2J" in line for line in lines)


@given(text=st.text(max_size=30))
def test_what_is_shown_holds_no_steering_and_ordinary_text_stays(text):
    shown = visible(text)
    assert not STEERS.search(shown)
    assert (shown == text) == (STEERS.search(text) is None)
    assert visible(shown) == shown
    for kept in "\n\t éß日😀‍":
        assert visible(kept) == kept


@given(value=st.recursive(st.text() | st.none() | st.integers(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)))
def test_json_stays_what_it_was(value):
    document = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value and not STEERS.search(document)


def test_json_for_programs_is_shown_whole(tmp_path, capsys):
    say_json({"a": "\x1b\x7f\x9b\u202e\\"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": "\x1b\x7f\x9b\u202e\\"} and not STEERS.search(out)


def test_warnings_of_our_logs_are_shown_too(monkeypatch, capsys):
    monkeypatch.setattr(logging.lastResort, "formatter", None)
    guard_logs()
    record = logging.LogRecord("vpo", logging.WARNING, __file__, 1, "the server said %s", ("\x1b[2J",), None)
    logging.lastResort.emit(record)
    said = capsys.readouterr().err
    assert "the server said \\x1b[2J" in said and not STEERS.search(said)


def test_a_defect_in_a_command_prints_a_traceback_that_steers_nothing(tmp_path):
    code = (
        "import sys; from vpo.cli import app; sys.argv = ['vpo', 'tasks', 'list']\n"
        "import vpo.tasks\ndef broken(*_): raise RuntimeError('\\x1b[2J')\nvpo.tasks.list_tasks = broken\napp.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "RuntimeError: \\x1b[2J" in done.stderr and not STEERS.search(done.stderr + done.stdout)
