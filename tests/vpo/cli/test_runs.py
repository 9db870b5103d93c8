"""`vpo runs` lists what lies below a folder, whatever else lies there, and says how to go on."""

from __future__ import annotations

import fcntl
import json
import shlex
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.search.cli_parts import digits  # noqa: F401 - the search below finds it by name
from vpo.cli.app import main
from vpo.record import RunFile

TASK = """
from vpo.tasks import task

@task(components=("zeros", "ones"), data=lambda split: [{"question": "say"}], prompt="question")
def count(answer, row):
    return answer.count("0") / 4, answer.count("1") / 4
"""
COMMAND = [sys.executable, "-m", "trainers.vpo", "--config", "my recipe.yaml"]


def train_run(folder: Path, command: list[str] | None = None, alive: bool = False, **settings) -> Path:
    """A run that took three of eight steps, with checkpoints at 1 and (half of one) at 2, and was killed."""
    RunFile(folder).begin("train", {"training": {"max_steps": 8, "beta": 0.0, **settings}}, seeds={"seed": 0})
    record = json.loads((folder / "run.json").read_text()) | {"command": command or COMMAND}
    if not alive:
        record["process"]["started"] = 1
    (folder / "run.json").write_text(json.dumps(record))
    for step in (1, 2):
        (folder / f"checkpoint-{step}").mkdir()
    state = {"global_step": 1, "max_steps": 8, "log_history": [{"reward": 0.25, "step": 1}, {"loss": 1.0}]}
    (folder / "checkpoint-1" / "trainer_state.json").write_text(json.dumps(state))
    (folder / "checkpoint-2" / "trainer_state.json").write_text('{"global_step": 2, "max_')
    (folder / "rollouts").mkdir()
    for step, scores in enumerate(([0.0], [0.1], [0.5, 0.7])):
        pq.write_table(pa.table({"set_reward": scores}), folder / "rollouts" / f"rank0000-step{step:08d}.parquet")
    return folder


def listed(folder: Path, capsys) -> dict[str, dict]:
    assert main(["runs", str(folder), "--json"]) == 0
    return {str(Path(each["run"]).relative_to(folder)): each for each in json.loads(capsys.readouterr().out)}


def test_a_killed_run_is_stopped_and_its_command_goes_on_from_the_newest_whole_checkpoint(tmp_path, capsys):
    train_run(tmp_path / "a" / "run")
    found = listed(tmp_path, capsys)["a/run"]
    assert found["kind"] == "train" and found["state"] == "stopped"
    assert found["detail"] == "can be resumed from checkpoint 1"
    assert (found["steps"], found["of"], found["reward"]) == (3, 8, pytest.approx(0.6))
    assert found["age_s"] < 600 and found["verdict"] is None and found["alarms"] is None
    assert shlex.split(found["continue_with"]) == [
        *["python", "-m", "trainers.vpo", "--config", "my recipe.yaml"],
        *["--resume_from_checkpoint", str(tmp_path / "a" / "run" / "checkpoint-1")],
    ]
    assert (tmp_path / "a" / "run" / "checkpoint-2").is_dir(), "looking must delete nothing"


@pytest.mark.parametrize(
    ("command", "begins"),
    [
        (
            ["/x/python", "/x/bin/vpo", "train", "r.yaml", "--resume_from_checkpoint", "old", "--beta", "1"],
            "vpo train ",
        ),
        (["/x/python", "/x/bin/accelerate", "launch", "-m", "trainers.vpo", "--config", "r"], "accelerate launch -m "),
        ([sys.executable, "-m", "torch.distributed.run", "-m", "trainers.vpo"], "python -m torch.distributed.run "),
    ],
)
def test_the_command_that_goes_on_is_the_one_that_began(tmp_path, capsys, command, begins):
    train_run(tmp_path / "run", command)
    going_on = listed(tmp_path, capsys)["run"]["continue_with"]
    assert going_on.startswith(begins) and "old" not in going_on
    assert going_on.count("--resume_from_checkpoint") == 1 and going_on.endswith("checkpoint-1")


def test_a_run_of_a_script_is_told_what_to_hand_to_train(tmp_path, capsys):
    train_run(tmp_path / "run", [sys.executable, "mine.py"])
    expected = f"trainer.train(resume_from_checkpoint='{tmp_path / 'run' / 'checkpoint-1'}')"
    assert listed(tmp_path, capsys)["run"]["continue_with"] == expected


def test_states_are_told_apart(tmp_path, capsys):
    train_run(tmp_path / "running", alive=True)
    RunFile(train_run(tmp_path / "finished")).end(8, 8, "all steps done")
    RunFile(train_run(tmp_path / "early")).end(5, 8, "stopped early")
    elsewhere = train_run(tmp_path / "elsewhere")
    record = RunFile(elsewhere).read()
    (elsewhere / "run.json").write_text(json.dumps({**record, "process": {**record["process"], "host": "node7"}}))
    bare = tmp_path / "bare"
    RunFile(bare).begin("train", {}, seeds={})
    record = RunFile(bare).read()
    (bare / "run.json").write_text(json.dumps({**record, "process": {**record["process"], "started": 1}}))
    found = listed(tmp_path, capsys)
    states = {name: each["state"] for name, each in found.items()}
    assert states == {
        "running": "running",
        "finished": "finished",
        "early": "ended early",
        "elsewhere": "running",  # written to a moment ago
        "bare": "stopped",
    }
    assert found["running"]["continue_with"] is None and found["finished"]["continue_with"] is None
    assert "node7" in found["elsewhere"]["detail"]
    assert found["early"]["steps"] == 5 and "checkpoint-1" in found["early"]["continue_with"]


def test_what_the_monitor_said_is_shown(tmp_path, capsys):
    run = train_run(tmp_path / "run")
    (run / "monitor").mkdir()
    (run / "monitor" / "looks.jsonl").write_text("{}\n")
    (run / "monitor" / "alarms.jsonl").write_text('{"verdict": "sharpening"}\n{"verdict": "costly_collapse"}\n{"verd')
    found = listed(tmp_path, capsys)["run"]
    assert (found["verdict"], found["alarms"]) == ("costly_collapse", 2)
    (run / "monitor" / "report.json").write_text(json.dumps({"runs": [{"verdict": "benign_selection"}]}))
    assert listed(tmp_path, capsys)["run"]["verdict"] == "benign_selection"


def test_half_written_and_foreign_folders_are_no_obstacle(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "settings.json").write_text("[1, 2]")
    (tmp_path / "notes" / "run.json").write_text('{"kind": "marathon"}')
    torn = train_run(tmp_path / "torn")
    (torn / "run.json").write_text('{"format": 1, "ki')
    bad = tmp_path / "bad search"
    bad.mkdir()
    (bad / "search.yaml").write_text(": [")
    (bad / "ledger.jsonl").write_bytes(b"\0\0\n{}\n")
    cut = train_run(tmp_path / "cut")
    (cut / "rollouts" / "rank0000-step00000002.parquet").write_bytes(b"PAR1")
    trl = tmp_path / "grpo"
    (trl / "checkpoint-4").mkdir(parents=True)
    (trl / "checkpoint-4" / "trainer_state.json").write_text(json.dumps({"global_step": 4, "max_steps": 9}))
    (tmp_path / "loop").symlink_to(tmp_path)
    found = listed(tmp_path, capsys)
    assert found.keys() == {"torn", "bad search", "cut", "grpo"}
    assert found["torn"]["problems"] == ["run.json cannot be read"] and found["torn"]["checkpoint"] == 1
    assert found["bad search"]["kind"] == "search" and found["bad search"]["steps"] is None
    assert "ledger.jsonl cannot be read" in found["bad search"]["problems"][0]
    assert found["cut"]["steps"] == 3 and found["cut"]["reward"] == 0.25
    assert (found["grpo"]["state"], found["grpo"]["steps"], found["grpo"]["of"]) == ("stopped", 4, 9)
    assert main(["runs", str(tmp_path)]) == 0
    assert "run.json cannot be read" in " ".join(capsys.readouterr().out.split())


def test_a_search_leaves_a_record_and_is_listed(tmp_path, capsys):
    (tmp_path / "count.py").write_text(TASK)
    settings = {
        "problem": {"name": str(tmp_path / "count.py"), "num_answers": 1},
        "sampler": {"name": "tests.search.cli_parts:digits", "stop_at": 5},
        "procedure": "best_of_n",
        "budget": {"max_answers": 12},
        "sampling": {"max_new_tokens": 9},
        "out": str(tmp_path / "out"),
        "batch": 2,
    }
    (tmp_path / "search.json").write_text(json.dumps(settings))  # JSON is YAML
    assert main(["search", "run", str(tmp_path / "search.json")]) == 130
    capsys.readouterr()
    record = RunFile(tmp_path / "out").read()
    record["process"]["started"] = 1  # as if this process were gone
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    found = listed(tmp_path, capsys)["out"]
    assert (found["kind"], found["state"]) == ("search", "stopped") and 0 < found["steps"] < 12
    assert found["continue_with"] == f"vpo search resume {tmp_path / 'out'}"
    kept = tmp_path / "out" / "search.yaml"
    kept.write_text(kept.read_text().replace("stop_at: 5", "stop_at: null"))
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0
    capsys.readouterr()
    found = listed(tmp_path, capsys)["out"]
    assert (found["state"], found["steps"]) == ("finished", 12) and found["reward"] is not None
    record = RunFile(tmp_path / "out").read()
    (entry,) = record["resumed"]
    assert entry["step"] > 0 and [each["name"] for each in entry["changes"]] == ["settings.search.sampler.stop_at"]
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0  # looked at: nothing new to write
    assert RunFile(tmp_path / "out").read() == record


def test_a_demo_is_one_run_with_its_arms_as_parts(tmp_path, capsys):
    from vpo.cli.study.settings import QUICK, Settings

    demo = tmp_path / "demo"
    Settings(seed=4, **QUICK).save(demo)
    train_run(demo / "arms" / "grpo")
    found = listed(tmp_path, capsys)
    assert found.keys() == {"demo"}
    assert found["demo"]["state"] == "stopped" and found["demo"]["steps"] == 0
    assert found["demo"]["continue_with"] == f"vpo demo --out {demo} --seed 4 --quick"
    assert listed(demo, capsys).keys() == {".", "arms/grpo"}
    with (demo / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert listed(tmp_path, capsys)["demo"]["state"] == "running"


def test_a_comparison_is_continued_by_its_own_command(tmp_path, capsys):
    folder = tmp_path / "comparison"
    RunFile(folder).begin("compare", {}, seeds={"seeds": 3})
    record = RunFile(folder).read()
    record |= {"command": ["python", "/bin/vpo", "compare", "r.yaml"], "process": {**record["process"], "started": 1}}
    (folder / "run.json").write_text(json.dumps(record))
    train_run(folder / "grpo" / "seed0")
    (folder / "grpo" / "seed0" / "done.json").write_text("{}")
    found = listed(tmp_path, capsys)
    assert found.keys() == {"comparison"}
    assert found["comparison"]["continue_with"] == "vpo compare r.yaml" and found["comparison"]["steps"] == 1
    RunFile(folder).end(6, 6, "all runs done")
    assert listed(tmp_path, capsys)["comparison"]["state"] == "finished"


def test_the_table_shows_runs_and_whole_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    train_run(tmp_path / "run")
    assert main(["runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "3 of 8" in said and "to go on:" in said
    assert f"--config 'my recipe.yaml' --resume_from_checkpoint {tmp_path}/run/checkpoint-1\n" in said


def test_no_runs_and_no_folder_are_said_plainly(tmp_path, capsys, monkeypatch):
    assert main(["runs", str(tmp_path)]) == 0
    assert "no runs in" in " ".join(capsys.readouterr().out.split())
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 1
    assert "there is no folder runs" in capsys.readouterr().err
    assert main(["runs", "list", "run.json"]) == 1
    assert main(["runs", "--help"]) == 0
