"""`vpo pipeline` runs: stages that are done stay done, others go on, also after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.vpo.cli.tiny_pipeline import tiny_recipe
from vpo.cli.pipeline.command import run_pipeline
from vpo.cli.pipeline.jobs import Job

ROOT = Path(__file__).parents[3]
# A stage that can be killed: four steps of a tenth of a second, each written down, the sum of them its result.
COUNTER = """
import json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1]); at = folder / "progress.json"
step = json.loads(at.read_text()) if at.is_file() else 0
while step < 4:
    time.sleep(.1); step += 1
    at.with_suffix(".tmp").write_text(json.dumps(step)); os.replace(at.with_suffix(".tmp"), at)
    with (folder / "steps.txt").open("a") as file: file.write(f"{step} ")
(folder / "done.json").write_text("{}")
"""


@pytest.fixture
def counting(monkeypatch, tmp_path):
    """A recipe of the stages convert and heal, each of which counts to four."""

    def command(job, pipeline, gpus):
        job.folder.mkdir(parents=True, exist_ok=True)
        return [sys.executable, "-c", COUNTER, str(job.folder)]

    monkeypatch.setattr(Job, "command", command)
    recipe = tiny_recipe(tmp_path)
    content = {key: value for key, value in yaml.safe_load(recipe.read_text()).items() if key in STAGES}
    recipe.write_text(yaml.safe_dump(content))
    return recipe


STAGES = ("out", "model", "convert", "heal")


def run(recipe: Path, **options) -> int:
    given = {"until": None, "redo": None, "smoke": False, "dry_run": False, "sets": [], "command": "vpo pipeline"}
    return run_pipeline(recipe, **{**given, **options})


def steps(recipe: Path, stage: str) -> list[str]:
    return (recipe.parent / "run" / stage / "steps.txt").read_text().split()


def test_stages_run_once_and_in_order_and_until_the_one_that_is_named(counting, tmp_path, capsys):
    assert run(counting, until="convert") == 0
    assert not (tmp_path / "run" / "heal").exists()
    (tmp_path / "run" / "heal").mkdir()
    (tmp_path / "run" / "heal" / "done.json").write_text(json.dumps({"steps": 0, "log": []}))
    assert run(counting) == 0  # convert is done, and so is heal
    assert steps(counting, "convert") == ["1", "2", "3", "4"]
    said = capsys.readouterr().err
    assert "to do: convert\n" in said
    assert "done: convert, heal; to do: -" in said


def test_another_setting_of_a_stage_that_has_begun_is_refused_and_redo_begins_again_from_there(counting, tmp_path):
    run(counting, until="convert")
    (tmp_path / "run" / "heal").mkdir()
    with pytest.raises(ValueError, match=r"holds stage convert with other settings \(loops was 2, is 1\).*--redo conv"):
        run(counting, sets=["convert.loops=1"], until="convert")
    assert steps(counting, "convert") == ["1", "2", "3", "4"]
    run(counting, sets=["convert.loops=1"], until="convert", redo="convert")
    assert not (tmp_path / "run" / "heal").exists()  # it read what is no longer there
    assert json.loads((tmp_path / "run" / "pipeline.json").read_text())["stages"]["convert"]["loops"] == 1


def test_a_stage_that_has_not_begun_may_still_change(counting):
    run(counting, until="convert")
    run(counting, until="convert", sets=["heal.max_steps=7"])
    assert json.loads((counting.parent / "run" / "pipeline.json").read_text())["stages"]["heal"]["max_steps"] == 7


def test_a_stage_that_fails_says_its_last_words_and_where_the_rest_is(counting, monkeypatch):
    monkeypatch.setattr(Job, "command", lambda *_: [sys.executable, "-c", "raise ValueError('no such luck')"])
    with pytest.raises(ValueError, match=r"(?s)'convert' ended with status 1.*no such luck.*logs/convert.log"):
        run(counting, until="convert")


def test_a_stage_that_ends_well_without_a_result_is_not_done(counting, monkeypatch):
    monkeypatch.setattr(Job, "command", lambda *_: [sys.executable, "-c", ""])
    with pytest.raises(ValueError, match="'convert' ended with status 0"):
        run(counting, until="convert")


def test_two_runners_of_one_folder_are_not_let_in(counting, tmp_path):
    from vpo.cli.study.runner import only_runner

    with only_runner(tmp_path / "run"), pytest.raises(ValueError, match="another process is working in"):
        run(counting)


def start(recipe: Path, *options: str) -> subprocess.Popen[bytes]:
    program = "import sys; from vpo.cli.app import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", program, "pipeline", str(recipe), *options]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition, seconds: float = 300.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_pipeline_killed_inside_of_stages_and_between_them_ends_with_the_same_weights(tmp_path):
    from safetensors.torch import load_file

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, killed = (tiny_recipe(tmp_path / name) for name in ("whole", "killed"))
    assert start(whole, "--until", "train").wait(600) == 0
    out = tmp_path / "killed" / "run"
    began = (
        lambda: (out / "convert" / "done.json").is_file(),
        lambda: any((out / "heal").glob("checkpoint-20/trainer_state.json")),
        lambda: any((out / "train").glob("checkpoint-2/trainer_state.json")),
    )
    for condition in began:
        process = start(killed, "--until", "train")
        wait_for(condition)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not _is_working(out), 30)  # its stage ends with it
    assert not (out / "train" / "done.json").exists()
    assert start(killed, "--until", "train").wait(600) == 0
    for part in ("heal/model", "train"):
        ours, theirs = (load_file(tmp_path / name / "run" / part / "model.safetensors") for name in ("whole", "killed"))
        assert ours.keys() == theirs.keys()
        assert all(bool((ours[key] == theirs[key]).all()) for key in ours), part
    healed = load_file(tmp_path / "whole" / "run" / "heal" / "model" / "model.safetensors")
    assert any(bool((ours[key] != healed[key]).any()) for key in ours)  # reinforcement learning has changed something


def _is_working(out: Path) -> bool:
    """Whether any process still has the run's folder on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(out).encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
def test_all_stages_of_a_tiny_model_leave_figures_of_every_policy(tmp_path):
    recipe = tiny_recipe(tmp_path)
    assert start(recipe).wait(900) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert list(summary["policies"]) == ["source", "converted", "healed", "trained"]
    assert summary["policies"]["healed"]["answers read"]["mean"] > summary["policies"]["source"]["answers read"]["mean"]
    assert summary["training"]["steps"] == 4
    assert set(summary["search"]["table"]) == {"healed / best-of-n", "trained / best-of-n"}
    assert "trained − healed" in (tmp_path / "run" / "summary.md").read_text()
    before = (tmp_path / "run" / "train" / "model.safetensors").stat().st_mtime_ns
    assert start(recipe).wait(300) == 0  # all is done: nothing runs again
    assert (tmp_path / "run" / "train" / "model.safetensors").stat().st_mtime_ns == before
