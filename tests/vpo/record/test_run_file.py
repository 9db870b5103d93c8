"""``run.json`` says what a run was, whole or not at all, and holds no secret."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT
from vpo.record import RUN_FILE, RunFile, changes, is_alive, latest
from vpo.record.plain import plain
from vpo.record.surroundings import ENVIRONMENT, environment, versions

SEEDS = {"seed": 3}


def text_of(folder: Path) -> str:
    return (folder / RUN_FILE).read_text()


def test_a_record_says_what_was_run_on_what_and_by_which_command(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    RunFile(tmp_path).begin("train", {"training": {"beta": 0.1}}, seeds=SEEDS, processes=2)
    found = RunFile(tmp_path).read()
    assert found["kind"] == "train" and found["processes"] == 2 and found["seeds"] == SEEDS
    assert found["settings"] == {"training": {"beta": 0.1}}
    assert found["environment"]["OMP_NUM_THREADS"] == "7"
    assert {"python", "vpo", "torch", "trl"} <= found["versions"].keys()
    assert found["hardware"]["cores"] >= 1 and found["command"] == sys.orig_argv
    assert found["ended"] is None and found["resumed"] == []


def test_a_secret_of_the_environment_never_lands_in_it(tmp_path, monkeypatch):
    secrets = {
        "WANDB_API_KEY": "0123456789abcdef0123",
        "MY_TOKEN": "correct horse battery",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "OPENAI_API_KEY": "sk-proj-abcdefghijklmnopqrst",
        "SOMETHING_ELSE": "not on the list",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "orig_argv", ["python", "x.py", f"--url=http://{secrets['MY_TOKEN']}@host/"])
    settings = {"note": f"key {secrets['WANDB_API_KEY']}!", secrets["AWS_SECRET_ACCESS_KEY"]: [secrets]}
    RunFile(tmp_path).begin("train", settings, seeds=SEEDS)
    RunFile(tmp_path).begin("train", {**settings, "more": secrets["MY_TOKEN"]}, seeds=SEEDS, step=4)
    RunFile(tmp_path).end(5, 9, f"failed with {secrets['MY_TOKEN']}")
    for name, value in secrets.items():
        if name != "SOMETHING_ELSE":  # handed over as a setting above: what is no credential stays
            assert value not in text_of(tmp_path)
    assert not {*secrets} & RunFile(tmp_path).read()["environment"].keys()


def test_the_environment_is_an_allow_list_of_names_that_are_no_credentials():
    everything = {name: "1" for name in ENVIRONMENT} | {"HF_TOKEN": "x", "SSH_AUTH_SOCK": "y", "NCCL_NEW": "z"}
    assert environment(everything).keys() == set(ENVIRONMENT)
    assert not [name for name in ENVIRONMENT if "TOKEN" in name.split("_") or "KEY" in name or "SECRET" in name]


@pytest.mark.parametrize(
    "value",
    [
        {"hub_token": "letmein"},
        {"api_key": "letmein"},
        {"nested": [{"OPENAI_API_KEY": "letmein"}]},
        ["--hub_token", "letmein"],
        ["--api-key=letmein"],
        "https://user:letmein@host/v1",
    ],
)
def test_what_stands_under_the_name_of_a_secret_is_left_out(value):
    assert "letmein" not in json.dumps(plain(value, {}))


def test_settings_whose_names_only_sound_like_secrets_stay():
    kept = {"max_generated_tokens": 400, "eos_token_id": 2, "push_to_hub_token": None, "token_level": "yes"}
    assert plain(kept, {"RAY_AUTH_MODE": "token", "SHORT_KEY": "2"}) == kept


def test_what_has_no_json_becomes_text_that_is_the_same_in_every_process():
    class Thing:
        pass

    found = plain({"a": math.inf, "b": Path("x/y"), "c": (1, 2), "d": Thing(), "e": Thing, 4: {"z", "y"}}, {})
    assert found["a"] == "inf" and found["b"] == "x/y" and found["c"] == [1, 2] and found["4"] == ["y", "z"]
    assert "0x" not in found["d"] and "Thing" in found["d"] and "Thing" in found["e"]


def test_a_resumed_run_adds_where_it_goes_on_and_what_has_changed(tmp_path):
    run = RunFile(tmp_path)
    first = {"training": {"beta": 0.0, "learning_rate": 1e-6, "resume_from_checkpoint": None}}
    run.begin("train", first, seeds=SEEDS)
    run.end(7, 7, "all steps done")
    run.begin("train", {"training": {**first["training"], "beta": 0.1}}, seeds=SEEDS, step=7)
    third = {"training": {"beta": 0.1, "learning_rate": 2e-6, "resume_from_checkpoint": "checkpoint-9"}}
    run.begin("train", third, seeds=SEEDS, processes=2, step=9)
    found = run.read()
    assert found["settings"] == first and found["ended"] is None
    assert [entry["step"] for entry in found["resumed"]] == [7, 9]
    assert found["resumed"][0]["changes"] == [{"name": "settings.training.beta", "before": 0.0, "now": 0.1}]
    assert {each["name"]: each["now"] for each in found["resumed"][1]["changes"]} == {
        "processes": 2,
        "settings.training.learning_rate": 2e-6,
    }
    assert latest(found)["settings.training.beta"] == 0.1


@pytest.mark.parametrize("content", [None, "", '{"format": 1, "kind"', "[]", '{"format": 1, "kind": "train"}', "\0"])
def test_a_run_that_goes_on_without_a_readable_record_gets_one(tmp_path, content):
    if content is not None:
        (tmp_path / RUN_FILE).write_text(content)
    run = RunFile(tmp_path)
    assert run.read() is None
    run.end(1, 1, "not written: there is nothing to end")
    assert run.read() is None
    run.begin("train", {}, seeds=SEEDS, step=4)
    assert [entry["step"] for entry in run.read()["resumed"]] == [4]


def test_a_run_that_begins_anew_takes_the_place_of_the_one_before(tmp_path):
    run = RunFile(tmp_path)
    run.begin("train", {"a": 1}, seeds=SEEDS)
    run.begin("train", {"a": 2}, seeds=SEEDS)
    assert run.read()["settings"] == {"a": 2} and run.read()["resumed"] == []


def test_a_kill_while_writing_leaves_the_record_of_before(tmp_path, monkeypatch):
    run = RunFile(tmp_path)
    run.begin("train", {"a": 1}, seeds=SEEDS)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run.begin("train", {"a": 2}, seeds=SEEDS)
    assert run.read()["settings"] == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]


def test_two_processes_that_write_at_once_leave_one_whole_record(tmp_path):
    script = (
        "import sys; from vpo.record import RunFile\n"
        "for i in range(20): RunFile(sys.argv[1]).begin('train', {'who': sys.argv[2] * 5000}, seeds={})"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), who], cwd=ROOT) for who in "ab"]
    while any(each.poll() is None for each in started):
        was_there = (tmp_path / RUN_FILE).exists()
        assert RunFile(tmp_path).read() is not None or not was_there
    assert [each.returncode for each in started] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]


def test_a_record_knows_whether_its_process_is_alive(tmp_path):
    script = "import sys; from vpo.record import RunFile; RunFile(sys.argv[1]).begin('train', {}, seeds={})"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "dead")], cwd=ROOT, check=True)
    RunFile(tmp_path / "alive").begin("train", {}, seeds={})
    dead, alive = (RunFile(tmp_path / name).read() for name in ("dead", "alive"))
    assert is_alive(alive) is True and is_alive(dead) is False
    assert is_alive({**alive, "process": {**alive["process"], "started": 1}}) is False  # another one has its number now
    assert is_alive({**alive, "process": {**alive["process"], "host": "elsewhere"}}) is None
    assert is_alive({}) is None


def test_versions_name_the_commit_of_a_checkout():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert versions()["vpo commit"].startswith(head)


def test_versions_can_be_asked_for_by_name():
    assert list(versions("torch", "nothing", "python")) == ["torch", "python"]


def test_entries_that_are_missing_count_as_none():
    found = changes({"a": {"b": 1, "c": None}, "d": []}, {"a": {"b": 2}, "e": {}})
    assert [(each.name, each.before, each.now) for each in found] == [("a.b", 1, 2), ("d", [], None), ("e", None, {})]
