"""The README's example runs as printed, and its commands exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_examples_run_and_print_what_they_say(tmp_path, monkeypatch):
    examples = re.findall(r"```python\n(.*?)```\s+It prints\s+`([^`]+)`", README, re.DOTALL)
    assert len(examples) == README.count("```python") == 2
    monkeypatch.chdir(tmp_path)
    for source, expected in examples:
        assert len([line for line in source.splitlines() if line.strip()]) <= 12
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(source, "README.md", "exec"), {})
        assert output.getvalue().strip().splitlines()[-1] == expected
    assert list(tmp_path.glob("runs/example/rollouts/*.parquet"))


def test_its_first_thirty_lines_hold_the_two_commands_and_a_figure():
    top = "\n".join(README.splitlines()[:30])
    assert "make demo" in top and "make test" in top and "```python" in top
    targets = (Path(__file__).parents[1] / "Makefile").read_text()
    for command in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{command}:", targets, re.MULTILINE), command


def test_every_command_that_a_figure_names_is_there():
    for path in re.findall(r"python (benchmarks/\w+\.py)", README):
        assert (Path(__file__).parents[1] / path).is_file()
