"""`vpo depth report`, on a model of a few thousand parameters, on text and on a task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.depth import DepthReport
from tests.vpo.cli.test_looped_commands import pretrained, run, text  # noqa: F401
from vpo.looped import FixedPoint
from vpo.tasks import get_task
from vpo.tasks.tiny_policy import tiny_policy

QUICK = ("--batch-size", 4, "--max-tokens", 400, "--no-jacobian")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    model, tokenizer = tiny_policy(get_task("knapsack"), num_answers=1, seed=0)
    model.depth_policy = FixedPoint(tol=0.1, cap=3)
    model.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    return tmp_path / "policy"


def read(folder: Path) -> DepthReport:
    return DepthReport.from_json((folder / "report.json").read_text())


def test_a_converted_model_is_measured_on_text(pretrained: Path, text: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    looped, out = tmp_path / "looped", tmp_path / "out"
    assert run("convert", pretrained, "--out", looped, "--prelude", 3, "--core", 2, "--coda", 1) == 0
    before = (looped / "config.json").read_text()
    capsys.readouterr()
    assert run("depth", "report", looped, "--text", text, "--out", out, "--jacobian", *QUICK[:4]) == 0
    said = capsys.readouterr().out
    report = read(out)
    assert (report.loops, report.cap, report.trained_loops) == (6, 4, 1), "it was saved with one loop and no policy"
    assert any("--trained-loops" in note for note in report.notes)
    # The core's layers do nothing, so every loop is like the first.
    assert report.sweet_spot.loop == 1 and report.advice[0].kind == "sweet_spot"
    assert report.series["kl_capped"].mean == pytest.approx([0.0] * 6, abs=1e-6)
    assert [row.loop for row in report.jacobian] == [1, 4, 6]
    assert "sweet_spot: The sweet spot is 1 loop" in said and "depth_policy = FixedDepth(num_loops=1)" in said
    assert "<!doctype html>" in (out / "report.html").read_text()
    assert report.seconds is not None and report.peak_memory_gib is not None and report.peak_memory_gib > 0
    assert (looped / "config.json").read_text() == before, "measuring changes nothing"


def test_passages_and_answers_end_with_the_context_of_the_model(policy: Path, tmp_path: Path, capsys) -> None:
    context = json.loads((policy / "config.json").read_text())["learned_positions"]
    assert context < 120, "the defaults of --length and --max-new-tokens are longer"
    out, passage = tmp_path / "out", tmp_path / "long.txt"
    words = ("--generate", 2, "--max-tokens", 200, "--loops", 3, "--no-jacobian")
    assert run("depth", "report", policy, "--task", "knapsack", "--out", out, *words) == 0
    assert read(out).rewards is not None
    passage.write_text(" ".join(["1"] * 3 * context))
    assert run("depth", "report", policy, "--text", passage, "--out", out, *QUICK) == 0
    assert f"in passages of {context} at most" in read(out).data
    run("depth", "calibrate", policy, "--text", passage)
    assert "learned ones" not in capsys.readouterr().err


def test_a_policy_is_measured_on_the_reference_answers_of_a_task(policy: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    words = ("--generate", 4, "--max-new-tokens", 6, "--max-tokens", 800)
    assert run("depth", "report", policy, "--task", "knapsack", "--out", out, *QUICK, *words) == 0
    report = read(out)
    assert (report.loops, report.cap, report.trained_loops) == (5, 3, 3)
    assert report.solved is not None and len(report.solved.mean) == 5
    assert report.choices[0].rule.startswith("own: FixedPoint") and report.jacobian == []
    assert report.rewards is not None and all(0 <= value <= 1 for value in report.rewards.mean if value is not None)
    assert any("attempts itself" in note for note in report.notes), "no set of items has all rewards in full"
    task, rows = get_task("knapsack"), get_task("knapsack").dataset("test", 3, 1)
    assert all(task.reference(row) is None for row in rows)
    assert report.num_tokens <= report.num_sequences * (task.completion_tokens(1) + 1), "prompts do not count"


def test_formats_and_difficulties_come_from_the_rows(policy: Path, tmp_path: Path) -> None:
    words = sorted(get_task("knapsack").vocabulary(1))[:6]
    rows = [
        {"text": " ".join(words[: 2 + i % 4]), "format": [0, "kind 1"][i % 2], "difficulty": [10, 9, 0, None][i % 4]}
        for i in range(8)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert run("depth", "report", policy, "--text", file, "--out", tmp_path / "out", *QUICK) == 0
    report = read(tmp_path / "out")
    assert {row.name for row in report.groups["format"]} == {"0", "kind 1"}
    assert [row.name for row in report.groups["difficulty"]] == ["0", "9", "10", "not said"]
    assert list(report.versions) == ["vpo", "torch", "transformers"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected exactly one of them"),
        (("--task", "knapsack", "--length", 3), "Raise --length"),
        (("--task", "knapsack", "--loops", 2, "--cap", 2), "trained with 3"),
        (("--task", "knapsack", "--cap", 9, "--loops", 4), "a cap among them"),
        (("--task", "nothing"), "there is no task"),
        (("--text", __file__, "--generate", 2), "without a task"),
    ],
)
def test_what_makes_no_sense_is_said(policy: Path, tmp_path: Path, capsys, words: tuple, said: str) -> None:
    assert run("depth", "report", policy, "--out", tmp_path / "out", *words, *QUICK) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_loop_is_refused(pretrained: Path, text: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    assert run("depth", "report", pretrained, "--text", text, "--out", tmp_path / "out") == 1
    assert "no looped model that is known" in capsys.readouterr().err
