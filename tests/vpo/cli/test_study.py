"""The stages behind the demo: settings, order, failures, tables."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from eval.metrics import pool_l1
from vpo.cli.demo import run_demo
from vpo.cli.study import runner
from vpo.cli.study.checks import acceptance
from vpo.cli.study.settings import GRPO, QUICK, SUM, VPO, Settings
from vpo.cli.study.stages import stages_of
from vpo.cli.study.tables import PolicyCurves, blind_curves, oracle_values, pool_curves


def test_settings_survive_the_file_and_refuse_another_study(tmp_path):
    settings = Settings(seed=3, arms=(GRPO, SUM, VPO), **QUICK)
    settings.save(tmp_path)
    assert Settings.load(tmp_path) == settings
    settings.save(tmp_path)  # the same study continues
    with pytest.raises(ValueError, match="holds a study with other settings"):
        Settings(seed=4, arms=(GRPO, SUM, VPO), **QUICK).save(tmp_path)


def test_arms_may_be_added_to_a_study_and_none_changed(tmp_path):
    Settings(arms=(GRPO, VPO), **QUICK).save(tmp_path)
    Settings(arms=(SUM,), **QUICK).save(tmp_path)
    assert Settings.load(tmp_path).arms == (GRPO, VPO, SUM)
    Settings(arms=(VPO,), **QUICK).save(tmp_path)  # some of them: nothing is lost
    assert Settings.load(tmp_path).arms == (GRPO, VPO, SUM)
    with pytest.raises(ValueError, match="holds an arm 'VPO' with other options"):
        Settings(arms=(replace(VPO, options={"anchor": 0.3}),), **QUICK).save(tmp_path)


def test_a_fingerprint_beside_settings_of_a_stranger_is_none(tmp_path):
    def tampered(**changes):
        Settings(**QUICK).save(tmp_path)
        kept = tmp_path / "settings.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | changes))

    tampered(task_name="stranger.py")  # a stage would import it
    with pytest.raises(ValueError, match="holds a study with other settings"):
        Settings(**QUICK).save(tmp_path)
    (tmp_path / "settings.json").unlink()
    tampered(fingerprint=[])
    with pytest.raises(ValueError, match="holds a study with other settings"):
        Settings(**QUICK).save(tmp_path)
    (tmp_path / "settings.json").unlink()
    tampered(arms=[asdict(replace(VPO, options={"anchor": 0.3})), asdict(GRPO), asdict(VPO)])
    with pytest.raises(ValueError, match="holds an arm 'VPO' with other options"):
        Settings(**QUICK).save(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fingerprint": "x", "arms": 3}', '{"fingerprint": [], "new": 1}'])
def test_settings_that_a_kill_left_empty_are_named(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match="--fresh"):
        Settings(**QUICK).save(tmp_path)


def test_a_half_written_checkpoint_is_deleted_and_the_one_before_taken(tmp_path):
    from vpo.cli.study.training import last_whole_checkpoint

    assert last_whole_checkpoint(tmp_path / "none") is None
    for step, state in [(20, "{}"), (100, '{"global_step": 1'), (120, None)]:
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-20"]


def test_every_stage_comes_after_what_it_needs():
    stages = stages_of(Settings(arms=(GRPO, SUM, VPO)))
    names = [stage.name for stage in stages]
    assert all(set(stage.needs) <= set(names[:i]) for i, stage in enumerate(stages))
    assert len(set(names)) == len(names) == 1 + 3 + 4 + 4
    assert len({stage.folder for stage in stages}) == len(stages)
    assert not any("search" in stage.name for stage in stages_of(Settings(), search=False))


def test_a_stage_that_fails_names_its_log_and_stops_the_rest(tmp_path, monkeypatch):
    settings = Settings(**QUICK)
    settings.save(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('the disk is full')")
    with pytest.raises(
        runner.StageError, match=r"(?s)stage 'warm start' ended with status 1:.*the disk is full.*warm_start.log"
    ):
        runner.run_studies([(tmp_path, settings)])


def test_a_folder_in_use_is_not_worked_on_twice(tmp_path):
    settings = Settings(**QUICK)
    settings.save(tmp_path)
    with runner.only_runner(tmp_path), pytest.raises(ValueError, match="another process is working in"):
        runner.run_studies([(tmp_path, settings)])


def test_a_stage_ends_when_its_runner_is_killed():
    script = "import sys; from vpo.cli.study.stages import _end_with; _end_with(int(sys.argv[1]))"
    parent = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {script!r}, str(os.getpid())])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_output_that_is_no_progress_is_ignored(tmp_path):
    class Process:
        stdout = io.StringIO('hello\n{"done": 3, "total": 4}\n{"loss": 1}\n[1]\n')

    job = runner._Job(tmp_path, stages_of(Settings())[0], "x", task=0, process=Process())
    runner._read(job)
    assert job.position == [3.0, 4.0]


def test_a_folder_with_other_files_is_neither_used_nor_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds files but no demo"):
        run_demo(tmp_path, quick=True)
    with pytest.raises(ValueError, match="does not look like a demo run"):
        run_demo(tmp_path, quick=True, fresh=True)
    assert (tmp_path / "thesis.tex").exists()


def test_pools_become_curves(tmp_path):
    settings = Settings(**QUICK)
    rng = np.random.default_rng(0)
    rewards = rng.random((5, 2, 3, 4))
    rewards[0, 0] = 0.0  # three answers that earn nothing
    (tmp_path / "pools" / "VPO").mkdir(parents=True)
    np.savez(tmp_path / "pools" / "VPO" / "m3.npz", rewards=rewards, answers=np.full((5, 2, 3), "a1"))
    curves = pool_curves(tmp_path, settings, "VPO", 3)
    assert curves.best.shape == curves.expected.shape == (5, 6)
    assert curves.at(6)[0] == pytest.approx(rewards.mean(-1).max((1, 2)).mean())
    assert curves.at(1)[0] == pytest.approx(rewards[:, :, 0].mean())
    assert curves.at(30) == curves.at(6)  # beyond the pool there is nothing more to find
    assert curves.distinct == 1
    assert curves.pool_l1 == pytest.approx(pool_l1(rewards.reshape(5, 6, 4)).mean())
    assert curves.valid == pytest.approx(27 / 30)


def test_a_missing_answer_is_no_further_kind_of_answer(tmp_path):
    rewards = np.ones((2, 2, 3, 4))
    answers = np.full((2, 2, 3), "a1")
    rewards[:, 0, 2], answers[:, 0, 2] = 0.0, ""  # the third answer of the first completion was cut off
    (tmp_path / "pools" / "VPO").mkdir(parents=True)
    np.savez(tmp_path / "pools" / "VPO" / "m3.npz", rewards=rewards, answers=answers)
    curves = pool_curves(tmp_path, Settings(**QUICK), "VPO", 3)
    assert (curves.pool_l1, curves.distinct) == (0.0, 1.0)
    assert curves.valid == pytest.approx(5 / 6)


def test_no_fixed_set_of_routes_beats_the_oracle():
    settings = Settings(**{**QUICK, "eval_examples": 12})
    blind, (best, expected) = blind_curves(settings), oracle_values(settings)
    assert blind.best.shape == (12, 6)
    assert (np.diff(blind.best.mean(0)) >= 0).all()
    assert (blind.best <= best[:, None] + 1e-9).all()
    assert (blind.expected <= expected[:, None] + 1e-9).all()


def flat(best: float, expected: float, l1: float = 1.0, completion: float = 1.0) -> PolicyCurves:
    return PolicyCurves(np.full((3, 30), best), np.full((3, 30), expected), l1, 5.0, completion)


def test_a_policy_that_does_not_read_its_prompt_fails_the_validity_checks():
    constant = {"base": flat(0.3, 0.3), "GRPO": flat(0.35, 0.35, l1=0.1), "VPO": flat(0.6, 0.6)}
    checks = {c.name: c for c in acceptance(constant, constant, flat(0.6, 0.6), Settings())}
    assert checks["E_w[best@3]: VPO - GRPO"].ok  # the beautiful difference of the artefact
    assert not any(check.ok for name, check in checks.items() if name.startswith("validity"))


def test_a_policy_that_reads_and_stays_diverse_passes():
    curves = {"base": flat(0.6, 0.6), "GRPO": flat(0.7, 0.66, l1=0.3), "VPO": flat(0.7, 0.75, l1=1.2, completion=0.95)}
    shuffled = {name: flat(0.1, 0.1) for name in curves}
    checks = acceptance(curves, shuffled, flat(0.4, 0.4), Settings())
    assert all(check.ok for check in checks)
    assert json.dumps([check.target_text for check in checks])
    assert acceptance({"base": flat(1, 1)}, {}, flat(1, 1), Settings()) == []
