"""Tab: what the shells are given, what they are answered, and how little is loaded for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vpo.cli.test_runs import train_run
from vpo.cli.app import main

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def command(tmp_path):
    """A folder with `vpo` in it, for a shell to find."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "vpo"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m vpo.cli "$@"\n')
    script.chmod(0o755)
    return folder


def answered(line: str, cwd: Path, *more: str) -> list[str]:
    """What bash is offered at the end of a line, by the protocol of its function."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_VPO_COMPLETE": "complete_bash"}
    start = [sys.executable, *more, "-m", "vpo.cli"]
    done = subprocess.run(start, cwd=cwd, env=ENVIRONMENT | asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answered.errors = done.stderr
    return [line for line in done.stdout.splitlines() if line]  # bash drops the empty line of an empty answer


def test_commands_options_and_names_are_offered(tmp_path):
    train_run(tmp_path / "runs" / "first")
    train_run(tmp_path / "runs" / "deep" / "second")
    found = tmp_path / "out"
    found.mkdir()
    (found / "search.yaml").write_text("problem: maze\n")
    assert set(answered("vpo se", tmp_path)) == {"search", "serve"}
    assert "--prompts" in answered("vpo compare --pr", tmp_path)
    assert {"list", "show", "resume", "compare"} == set(answered("vpo runs ", tmp_path))
    assert answered("vpo runs resume ", tmp_path) == ["runs/deep/second", "runs/first"]
    assert answered("vpo runs show runs/f", tmp_path) == ["runs/first"]
    assert answered("vpo search resume o", tmp_path) == ["out"]
    assert answered("vpo tasks check m", tmp_path) == ["maze", "musique"]
    assert answered("vpo compare r.yaml --objectives grpo,vp", tmp_path) == ["grpo,vpo"]
    assert answered("vpo doctor --backend ", tmp_path) == ["zygote", "bubblewrap"]
    assert answered("vpo schema se", tmp_path) == ["search", "search-compare"]
    assert answered("vpo tasks check zzz", tmp_path) == []


@pytest.mark.parametrize("line", ["vpo ", "vpo runs resume ", "vpo tasks check ", "vpo compare r --objectives g"])
def test_nothing_heavy_is_loaded_for_it(line, tmp_path):
    train_run(tmp_path / "runs" / "first")
    answered(line, tmp_path, "-X", "importtime")
    loaded = {row.rpartition("|")[2].strip() for row in answered.errors.splitlines()}
    assert "typer" in loaded
    heavy = {"torch", "transformers", "trl", "numpy", "yaml", "pyarrow", "datasets", "jinja2", "scipy"}
    assert loaded & heavy == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_what_it_has_to_read(shell, capsys):
    assert main(["--show-completion", shell]) == 0
    said = capsys.readouterr().out
    assert f"_VPO_COMPLETE=complete_{shell}" in said and "vpo" in said
    assert main(["--show-completion", "cmd"]) == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_a_real_bash_completes_a_line(command, tmp_path):
    train_run(tmp_path / "runs" / "first")
    script = (
        "source <(vpo --show-completion bash)\ncomplete -p vpo\n"
        'COMP_WORDS=(vpo runs resume runs/f); COMP_CWORD=3; _vpo_completion vpo; echo "${COMPREPLY[@]}"\n'
        'COMP_WORDS=(vpo tas); COMP_CWORD=1; _vpo_completion vpo; echo "${COMPREPLY[@]}"\n'
    )
    environment = {**ENVIRONMENT, "PATH": f"{command}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["complete -o default -F _vpo_completion vpo", "runs/first", "tasks"], (
        done.stderr
    )


def test_it_is_installed_where_bash_looks(tmp_path):
    environment = {**ENVIRONMENT, "HOME": str(tmp_path)}
    start = [sys.executable, "-m", "vpo.cli", "--install-completion", "bash"]
    done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "from the next terminal" in done.stdout
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_VPO_COMPLETE" in path.read_text() for path in written)
    assert str(tmp_path / ".bash_completions" / "vpo.sh") in (tmp_path / ".bashrc").read_text()
