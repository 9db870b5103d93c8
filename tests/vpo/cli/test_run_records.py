"""`vpo runs show` and `compare` read the record of a run, as it was written and as it may have become."""

from __future__ import annotations

import json

import pytest

from tests.vpo.cli.test_runs import train_run
from vpo.cli.app import main
from vpo.record import RunFile


def test_show_prints_the_record(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run = train_run(tmp_path / "run")
    RunFile(run).begin("train", {"training": {"max_steps": 8, "beta": 0.1}}, seeds={"seed": 0}, step=1)
    RunFile(run).end(8, 8, "all steps done")
    assert main(["runs", "show", str(run)]) == 0
    said = capsys.readouterr().out
    for expected in (
        "trainers.vpo --config 'my recipe.yaml'",
        "max_steps",
        "torch",
        "at step 1",
        "settings.training.beta",
    ):
        assert expected in said
    assert "all steps done" in said


def test_compare_prints_what_differs_and_nothing_else(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    first, second = train_run(tmp_path / "a"), train_run(tmp_path / "b", learning_rate=1e-5, beta=0.2)
    record = RunFile(second).read()
    (second / "run.json").write_text(json.dumps({**record, "versions": {**record["versions"], "trl": "0.9"}}))
    assert main(["runs", "compare", str(first), str(second)]) == 0
    said = capsys.readouterr().out
    assert "settings.training.beta" in said and "settings.training.learning_rate" in said and "versions.trl" in said
    assert "max_steps" not in said and "torch" not in said
    assert main(["runs", "compare", str(first), str(first)]) == 0
    assert "the same settings" in capsys.readouterr().out


def test_a_folder_without_a_readable_record_cannot_be_shown(tmp_path, capsys):
    assert main(["runs", "show", str(tmp_path)]) == 1
    assert "run.json is not there" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("{")
    assert main(["runs", "compare", str(tmp_path), str(tmp_path)]) == 1
    assert "is no record of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.json", {"fingerprint": "x", "arms": 0.5, "seed": []}),
        ("settings.json", {"fingerprint": "x", "arms": None}),
        ("run.json", {"process": ["x"]}),
        ("run.json", {"started": "0001-01-01"}),
        ("run.json", {"resumed": [{"changes": [{"name": ["a"], "before": 1, "now": 2}]}]}),
        ("run.json", {"resumed": [{"changes": [{"name": "a", "before": 1, "now": 2, "more": 3}]}]}),
        ("run.json", {"kind": "train", "working_directory": "\ud800"}),
        ("run.json", {"settings": "deep"}),
        ("run.json", {"resumed": [{"changes": [], "command": float("inf")}]}),
        ("run.json", {"ended": "left out"}),
        ("checkpoint-3/trainer_state.json", {"global_step": 3, "log_history": [{"reward": float("nan")}]}),
        ("checkpoint-3/trainer_state.json", {"global_step": 3, "log_history": [{"reward": 10**400}]}),
    ],
)
def test_records_that_no_run_of_ours_wrote_are_listed_and_shown_without_a_traceback(tmp_path, capfd, name, content):
    record = {"format": 1, "kind": "train", "settings": {}, "command": ["vpo"], "resumed": [], "ended": None}
    text = json.dumps({**record, **content} if name == "run.json" else content)
    if content.get("settings") == "deep":
        text = text.replace('"deep"', '{"a": ' * 900 + "1" + "}" * 900)
    text = text.replace(', "ended": "left out"', "")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    for words in (["runs", str(tmp_path)], ["runs", "list", str(tmp_path), "--json"]):
        assert main(words) == 0
    assert main(["runs", "show", str(tmp_path)]) in (0, 1)
    assert main(["runs", "compare", str(tmp_path), str(tmp_path)]) in (0, 1)
    assert "Traceback" not in capfd.readouterr().err
