"""The benchmarks for a GPU: they run at tiny size on a CPU, refuse to measure on one, and say what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from tests.checkout import ROOT

FOLDER = ROOT / "benchmarks" / "gpu"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("device", "models", "maze_stages"))
sys.path[:0] = [str(FOLDER)]  # where these benchmarks find their parts

import device  # noqa: E402
import models  # noqa: E402


def start(name: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", str(FOLDER / f"{name}.py"), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_tiny_run_reports_its_targets_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    results = sorted((ROOT / "benchmarks" / "results").iterdir())
    done = start(name, tmp_path, "--tiny")
    assert done.returncode == 0, done.stderr
    assert "no results are written" in done.stdout
    targets = done.stdout.partition("no results are written")[2].strip().splitlines()
    assert targets and all(line.endswith((") ok", ") short")) and "(target " in line for line in targets)
    assert sorted((ROOT / "benchmarks" / "results").iterdir()) == results
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_maze_run_goes_on_with_what_is_there(tmp_path: Path) -> None:
    first = start("maze_large", tmp_path, "--tiny", "--out", "runs")
    assert first.returncode == 0 and "step " in first.stdout, first.stderr
    (tmp_path / "runs" / "seed0" / "VPO" / "done.json").unlink()
    again = start("maze_large", tmp_path, "--tiny", "--out", "runs")
    trained = [line for line in again.stdout.splitlines() if line.startswith("  ") and ": done" in line]
    assert again.returncode == 0 and len(trained) == 6, again.stderr
    warm, grpo = (again.stdout.partition("warm_start: done")[0], again.stdout.partition("GRPO: done")[0])
    assert "step" not in warm and "step" not in grpo, "a stage that is done is not trained again"
    assert (
        again.stdout.partition("best@1")[2].splitlines()[1:3] == first.stdout.partition("best@1")[2].splitlines()[1:3]
    )


def test_the_maze_run_refuses_a_folder_of_another_study(tmp_path: Path) -> None:
    import maze_large

    plan = maze_large.Plan(maze_large.Settings(**maze_large.SMALL), width=64, layers=(1, 2, 1))
    (tmp_path / "plan.json").write_text(json.dumps(asdict(replace(plan, width=128)), indent=1))
    with pytest.raises(ValueError, match="holds a study with other settings"):
        maze_large.study(plan, Namespace(tiny=True, batch=8), tmp_path, torch.device("cpu"))
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"], "nothing was begun"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("auto", "finds no such GPU"), ("cpu", "a CPU would measure something else"), ("cuda:9", "no such index")],
)
def test_a_cpu_is_refused(wanted: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=said):
        device.choose_device(Namespace(tiny=False, device=wanted))
    assert device.choose_device(Namespace(tiny=True, device=wanted)).type == "cpu"


@pytest.mark.parametrize(
    ("visible", "wanted", "left"), [(None, "cuda:2", "2"), ("4,7", "cuda:1", "7"), ("5", "auto", "5")]
)
def test_all_gpus_but_one_are_hidden(
    visible: str | None, wanted: str, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # so that it is restored afterwards
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert device.choose_device(Namespace(tiny=False, device=wanted)) == torch.device("cuda", 0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


def test_too_little_memory_is_a_message_that_names_what_to_lower(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    assert device.run(main, "Lower --batch.") == 2
    assert capsys.readouterr().err == "out of GPU memory (CUDA out of memory). Lower --batch.\n"


@pytest.mark.parametrize("size", ["10M", "350M", "1.5B", "7b"])
def test_random_weights_have_about_the_size_that_is_asked_for(size: str) -> None:
    from transformers import AutoModelForCausalLM

    count = models.parameters(size)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(models.shape(count))
    assert model.num_parameters() == pytest.approx(count, rel=0.03)


@pytest.mark.parametrize("size", ["350", "1.5", "5M", "300B", "-1B", "big"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match=r"expected one such as 350M or 1\.5B"):
        models.parameters(size)


def test_a_model_that_cannot_be_had_is_a_message(tmp_path: Path) -> None:
    options = Namespace(tiny=False, random_init=None, model=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match=r"cannot be loaded.*--random-init 350M needs neither"):
        models.load(options, torch.device("cpu"), torch.float32)


def test_prompts_hold_no_special_token() -> None:
    from vpo.tasks.word_tokenizer import word_tokenizer

    tokenizer = word_tokenizer(models.WORDS)
    ids = models.prompts(tokenizer, 50, 20, 0, torch.device("cpu"))
    assert ids.shape == (50, 20) and ids.min() > max(tokenizer.all_special_ids)
    assert torch.equal(ids, models.prompts(tokenizer, 50, 20, 0, torch.device("cpu")))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_its_command_in_the_guide(name: str) -> None:
    assert f"python benchmarks/gpu/{name}.py" in (ROOT / "docs" / "reproduce.md").read_text()
    text = (FOLDER / f"{name}.py").read_text()
    assert f"python benchmarks/gpu/{name}.py" in text and len(text.splitlines()) < 300
