"""`vpo monitor` over logs of every kind: the page, the exit status, a log that grows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.collapse.json_form import from_json
from eval.collapse.run_report import CollapseReport
from tests.eval.collapse.stream import mixture
from vpo.cli.app import main

BASE, RIGHT = (0.4, 0.3, 0.3), (0.5, 0.4, 0.3)
QUICK = ["--facets", "format,length", "--workers", "1"]


def shares(step: int, collapses: bool) -> tuple[float, float, float]:
    return (0.98, 0.01, 0.01) if collapses and step > 4 else BASE


def write_trl(run: Path, collapses: bool = True, steps: int = 10, seed: int = 0) -> Path:
    """A run's completions, as TRL writes them."""
    rng = np.random.default_rng(seed)
    (run / "completions").mkdir(parents=True)
    for step in range(1, steps + 1):
        samples = mixture(step, shares(step, collapses), RIGHT, rng, prompts=48, spread=40.0)
        table = {
            "step": [step] * len(samples),
            "prompt": [f"Problem {each}" for each in samples.prompt_ids],
            "completion": samples.texts,
            "accuracy_reward": samples.rewards[:, 0],
            "advantage": np.zeros(len(samples)),
        }
        pq.write_table(pa.table(table), run / "completions" / f"completions_{step:05d}.parquet")
    return run


def lines_of(step: int, rng: np.random.Generator, collapses: bool = True, **extra) -> str:
    samples = mixture(step, shares(step, collapses), RIGHT, rng, prompts=48, spread=40.0)
    rows = [
        {"step": step, "prompt": name, "completion": text, "correct": float(right), **extra}
        for name, text, right in zip(samples.prompt_ids, samples.texts, samples.rewards[:, 0], strict=True)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def report_of(folder: Path) -> CollapseReport:
    return from_json(CollapseReport, (folder / "report.json").read_text())


def test_a_run_that_collapses_fails_ci_and_one_that_does_not_passes(tmp_path, capsys):
    falling, steady = write_trl(tmp_path / "falling"), write_trl(tmp_path / "steady", collapses=False)
    assert main(["monitor", str(falling), "--fail-on", "warning", *QUICK]) == 3
    assert main(["monitor", str(steady), "--fail-on", "warning", *QUICK]) == 0
    shown = capsys.readouterr()
    assert "wrote" in shown.out and "format: agreement" in shown.err
    (run,) = report_of(falling / "monitor").runs
    assert run.alarms[0].step in (5, 6) and run.source == "TRL completions"
    (run,) = report_of(steady / "monitor").runs
    assert run.alarms == [] and run.verdict == "no change"


def test_several_runs_stand_in_one_report_under_names_that_differ(tmp_path):
    one, other = write_trl(tmp_path / "a" / "run"), write_trl(tmp_path / "b" / "run", collapses=False)
    assert main(["monitor", str(one), str(other), "--out", str(tmp_path / "both"), *QUICK]) == 0
    report = report_of(tmp_path / "both")
    assert [run.name for run in report.runs] == ["a/run", "b/run"]
    assert [bool(run.alarms) for run in report.runs] == [True, False]


def test_base_samples_are_the_reference_and_rules_of_ones_own_are_taken(tmp_path):
    rng = np.random.default_rng(1)
    base, log, rules = tmp_path / "base.jsonl", tmp_path / "log.jsonl", tmp_path / "rules.yaml"
    base.write_text(lines_of(0, rng))
    log.write_text("".join(lines_of(step, rng) for step in range(1, 9)))
    rules.write_text("- {label: mine, pattern: 'def solution'}\n")
    options = ["--base", str(base), "--rules", str(rules), "--correct", "correct>=0.5", "--out", str(tmp_path / "out")]
    assert main(["monitor", str(log), *options, *QUICK]) == 0
    (run,) = report_of(tmp_path / "out").runs
    assert run.reference == "base model" and run.base is not None
    assert "mine" in run.base.shares["format"]
    assert run.correctness == "correct >= 0.5"


def test_workers_give_what_one_process_gives(tmp_path):
    log = write_trl(tmp_path / "run", steps=6)
    found = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        assert main(["monitor", str(log), "--workers", workers, "--out", str(out)]) == 0
        found.append(report_of(out).runs[0])
    assert found[0] == found[1]


def test_of_a_log_that_is_damaged_at_its_end_what_came_before_is_reported(tmp_path, capsys):
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    rng = np.random.default_rng(5)
    log.write_text("".join(lines_of(step, rng) for step in range(1, 8)) + "no JSON\n" + lines_of(8, rng))
    assert main(["monitor", str(log), "--out", str(out), *QUICK]) == 1
    shown = capsys.readouterr().err.replace("\n", " ")
    assert "no JSON in UTF-8" in shown and "what was read until then is in" in shown
    (run,) = report_of(out).runs
    assert [look.step for look in run.looks] == [1, 2, 3, 4, 5, 6]  # step 7 may be cut short by the damage
    assert any("Reading ended with an error" in each for each in run.warnings)
    assert run.alarms and any(example.when == "alarm" for example in run.examples)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is nothing at"),
        (["{run}", "--threshold", "mood=1"], "thresholds ['mood'] are unknown: expected some of"),
        (["{run}", "--threshold", "dominance"], "threshold is 'dominance': expected a name and a number"),
        (["{run}", "--threshold", "dominance=2"], "dominance is 2.0: expected a number in (0, 1)"),
        (["{run}", "{run}"], "expected each of them once"),
        (["{run}", "{run}/completions", "--follow"], "2 logs and --follow: expected one log to follow"),
        (["{run}", "--correct", "mood"], "correct is 'mood': expected one of ['accuracy_reward']"),
        (["{run}", "--facets", "format,mood"], "facets are 'format', 'mood': expected some of"),
        (["{run}", "--rate", "0.05", "--run-length", "100"], "expected one of the two"),
        (["{run}", "--alert", "pigeon"], "alerts hold 'pigeon'"),
    ],
)
def test_what_makes_no_sense_is_said_at_the_door(tmp_path, capsys, arguments, words):
    run = write_trl(tmp_path / "run", steps=2)
    assert main(["monitor", *[each.format(run=run) for each in arguments]]) == 1
    assert words in capsys.readouterr().err.replace("\n", " ")


def test_a_log_that_grows_is_followed_until_ctrl_c_which_leaves_the_page(tmp_path):
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    rng = np.random.default_rng(2)
    log.write_text(lines_of(1, rng) + lines_of(2, rng))
    command = [sys.executable, "-m", "vpo.cli.app", "monitor", str(log), "--follow", "--poll", "0.1", "--out", str(out)]
    command[1:3] = ["-c", "import sys; from vpo.cli.app import main; sys.exit(main(sys.argv[1:]))"]
    process = subprocess.Popen(
        [*command, "--fail-on", "warning", *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # make's children ignore it
    )
    try:
        with log.open("a") as file:
            for step in range(3, 12):
                text = lines_of(step, rng)
                file.write(text[: len(text) // 2])  # a line that is still being written
                file.flush()
                time.sleep(0.2)
                file.write(text[len(text) // 2 :])
                file.flush()
        seen = ""
        deadline = time.monotonic() + 120
        while "format: agreement" not in seen and time.monotonic() < deadline:
            line = process.stderr.readline()
            assert line, f"ended with {process.wait()}: {seen}"
            seen += line
        process.send_signal(signal.SIGINT)
        shown, rest = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 3, seen + rest
    assert "wrote" in shown
    (run,) = report_of(out).runs
    assert run.alarms[0].step in (5, 6)
