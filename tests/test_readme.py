"""The README's examples run as printed, its commands exist, and no missed target is left unsaid."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from targets import short  # noqa: E402


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


def test_every_benchmark_that_is_short_of_a_target_is_named_where_users_read():
    pages = README + "".join(page.read_text() for page in [*ROOT.glob("docs/*.md"), *ROOT.glob("recipes/**/*.md")])
    found = [command for command, targets in short().items() if targets]
    assert found
    assert [command for command in found if command.split()[1] not in pages] == []


def test_targets_that_results_miss_are_listed_and_smoke_tests_are_not(tmp_path):
    met, missed = (
        {"name": name, "figure": 2.0, "target": 1.0, "at_least": name == "speed", "ok": name == "speed"}
        for name in ("speed", "memory")
    )
    for name, targets in {"one": [met], "two": [met, missed], "two-quick": [missed]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"command": name, "targets": targets}))
    assert {name: [str(each) for each in targets] for name, targets in short(tmp_path).items()} == {
        "one": [],
        "two": ["memory: 2 (target <= 1) short"],
    }
