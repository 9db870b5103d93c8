from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import vpo
from vpo.cli import app as cli


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the demo by a function of the test's: ``demo(function)``."""

    def install(function: Any) -> None:
        module = types.ModuleType("vpo.cli.demo")
        module.run_demo = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "vpo.cli.demo", module)

    return install


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"vpo {vpo.__version__}\n"


def test_demo_passes_its_options_on_and_ends_with_its_status(demo: Any) -> None:
    seen = []
    demo(lambda *args: seen.append(args) or 3)
    assert cli.main(["demo", "--out", "somewhere", "--seed", "7", "--quick", "--fresh"]) == 3
    assert cli.main(["demo"]) == 3
    assert seen == [(Path("somewhere"), 7, True, True), (Path("runs/demo"), 0, False, False)]


def test_a_demo_that_succeeds_ends_with_zero(demo: Any) -> None:
    demo(lambda *args: 0)
    assert cli.main(["demo"]) == 0


def test_an_error_of_ours_is_one_message_without_a_traceback(demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    demo(lambda *args: vpo.AnswerFormat(num_answers=0))
    assert cli.main(["demo"]) == 1
    errors = capsys.readouterr().err
    assert re.match(r"Error: .*num_answers", errors)
    assert "Traceback" not in errors
    assert "VPO_DEBUG=1" in errors


def test_debugging_keeps_the_traceback(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPO_DEBUG", "1")
    demo(lambda *args: vpo.AnswerFormat(num_answers=0))
    with pytest.raises(ValueError, match="num_answers"):
        cli.main(["demo"])


def test_an_error_from_elsewhere_keeps_its_traceback(demo: Any) -> None:
    demo(lambda *args: re.compile(1))  # fails inside the standard library: a defect, not a user's mistake
    with pytest.raises(TypeError, match="first argument must be string"):
        cli.main(["demo"])

    def fail_elsewhere(*args: object) -> None:
        import json

        json.loads("{")

    demo(fail_elsewhere)
    with pytest.raises(ValueError, match="property name"):
        cli.main(["demo"])


def test_an_interrupted_demo_says_how_to_go_on(demo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    demo(interrupt)
    assert cli.main(["demo"]) == 130
    assert "Run the same command again" in capsys.readouterr().err


def test_an_unknown_option_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--speed", "3"]) == 2
    assert "--speed" in capsys.readouterr().err


def test_report_names_the_file_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path / 'report.json'} is not there" in capsys.readouterr().err


def test_report_refuses_a_file_that_is_not_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text("<html>")
    assert cli.main(["report", str(tmp_path)]) == 1
    assert "is not JSON" in capsys.readouterr().err


def test_report_draws_the_page_again_beside_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from eval.report import DemoReport

    numbers = DemoReport(title="A run of mazes", command="vpo demo", created="2026-01-01", seed=0, hardware="a laptop")
    (tmp_path / "report.json").write_text(numbers.to_json())
    assert cli.main(["report", str(tmp_path)]) == 0
    assert "A run of mazes" in (tmp_path / "report.html").read_text()
    assert "report.html" in capsys.readouterr().out
