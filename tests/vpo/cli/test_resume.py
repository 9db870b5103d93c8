"""`vpo runs resume` starts what `vpo runs` prints, and nothing that an edited run.json asks for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.search.cli_parts import digits  # noqa: F401 - a search below finds it by name
from tests.vpo.cli.test_runs import train_run
from vpo.cli.app import main
from vpo.cli.overview.our_commands import module_words
from vpo.record import RunFile

ROOT = Path(__file__).parents[3]


@pytest.fixture
def started(monkeypatch):
    """What would have taken the place of this process."""
    found: list[tuple[list[str], dict]] = []

    def execve(path, words, environment):
        assert path == sys.executable == words[0]
        found.append((words[1:], environment))
        raise SystemExit(7)

    monkeypatch.setattr(os, "execve", execve)
    return found


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A stopped run in the folder in which it was begun, with a harmless recipe: ``stopped(command)``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my recipe.yaml").write_text("task: maze\nreward_funcs: null\n")

    def make(command=None, **changes):
        run = train_run(tmp_path / "run", command)
        record = json.loads((run / "run.json").read_text()) | changes
        (run / "run.json").write_text(json.dumps(record))
        return run

    return make


def test_the_printed_command_is_started_with_our_module_and_a_safe_path(stopped, started, capfd):
    run = stopped()
    assert main(["runs", "resume", str(run)]) == 7  # the command's own status
    ((words, environment),) = started
    checkpoint = str(run / "checkpoint-1")
    assert words == ["-m", "trainers.vpo", "--config", "my recipe.yaml", "--resume_from_checkpoint", checkpoint]
    assert environment["PYTHONSAFEPATH"] == "1" and environment["PYTHONPATH"].split(":")[0] == str(ROOT)
    assert capfd.readouterr().out.startswith("python -m trainers.vpo --config 'my recipe.yaml'")


def test_a_dry_run_prints_the_command_and_starts_nothing(stopped, started, capfd):
    run = stopped(["/x/python", "/x/bin/vpo", "train", "my recipe.yaml", "--beta", "1"])
    assert main(["runs", "resume", str(run), "--dry-run"]) == 0
    assert not started
    said = capfd.readouterr().out.strip()
    assert said == f"vpo train 'my recipe.yaml' --beta 1 --resume_from_checkpoint {run}/checkpoint-1"


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["vpo", "train", "r.yaml", "--beta", "1"], ["vpo.cli", "train", "r.yaml", "--beta", "1"]),
        (["vpo", "search", "resume", "out"], ["vpo.cli", "search", "resume", "out"]),
        (["python", "-m", "trainers.vpo", "--config", "r"], ["trainers.vpo", "--config", "r"]),
        (
            ["torchrun", "--nproc-per-node=2", "--standalone", "-m", "trainers.vpo"],
            ["torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "trainers.vpo"],
        ),
        (
            ["accelerate", "launch", "--config_file", "c.yaml", "--num_processes", "4", "-m", "trainers.vpo", "-x"],
            [
                "accelerate.commands.launch",
                "--config_file",
                "c.yaml",
                "--num_processes",
                "4",
                "-m",
                "trainers.vpo",
                "-x",
            ],
        ),
    ],
)
def test_commands_of_ours_are_modules_of_ours(words, module):
    assert module_words(words) == module


EDITED = [
    ["/bin/sh", "-c", "touch owned"],
    ["sh", "-c", "vpo train"],
    ["python", "-c", "import os; os.system('touch owned')", "trainers.vpo"],
    ["python", "evil.py", "-m", "trainers.vpo"],
    ["python", "-m", "http.server", "trainers.vpo"],
    ["python", "-i", "-m", "trainers.vpo"],
    ["vpo", "serve", "x"],
    ["vpo", "trainers.vpo"],
    ["torchrun", "--no-python", "touch", "owned", "-m", "trainers.vpo"],
    ["torchrun", "evil.py", "-m", "trainers.vpo"],
    ["torchrun", "--log-dir", "x", "-m", "trainers.vpo"],
    ["torchrun", "--nproc_per_node", "-m", "evil", "trainers.vpo"],
    ["torchrun", "-m", "evil", "-m", "trainers.vpo"],
    ["accelerate", "launch", "--no_python", "-m", "trainers.vpo"],
    ["accelerate", "launch", "evil.py", "trainers.vpo"],
    ["accelerate", "test", "-m", "trainers.vpo"],
    ["deepspeed", "-m", "trainers.vpo"],
]


@pytest.mark.parametrize("command", EDITED, ids=" ".join)
def test_words_of_an_edited_record_are_not_run(stopped, started, capfd, command):
    assert main(["runs", "resume", str(stopped(command)), "--trust"]) == 1
    assert not started
    assert "expected" in capfd.readouterr().err


def test_words_stay_words(stopped, started):
    run = stopped(["vpo", "train", "my recipe.yaml", "--run_name", "$(touch owned); `touch owned`"])
    assert main(["runs", "resume", str(run)]) == 7
    assert started[0][0][5] == "$(touch owned); `touch owned`", "one word, and no shell in between"


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("reward_funcs: [mine.short]\n", "reward_funcs: ['mine.short']"),
        ("task: mine.py\n", "task: mine.py"),
        ("task: code\ntask_options: {runner: mine.run}\n", "task_options"),
        ("env: {LD_PRELOAD: x.so}\n", "env"),
        ("model_init_kwargs: {trust_remote_code: true}\n", "model_init_kwargs"),
        ("model_init_kwargs: {allow_all_kernels: true}\n", "model_init_kwargs"),
        ("model_init_kwargs: '{\"trust\\u005fremote_code\": true}'\n", "model_init_kwargs"),
        ("trust_remote_code: true\n", "trust_remote_code"),
        ("task: mine .of\n", "task: mine .of"),
        ("task: 'maze:mine.of'\n", "task: maze:mine.of"),
        ("task: code\ntask_options: {runner: vpo.cli.train.subprocess}\n", "task_options"),
        ('task: code\ntask_options: \'{"runn\\u0065r": "mine.run"}\'\n', "task_options"),
    ],
)
def test_code_of_ones_own_is_run_only_when_it_is_trusted(stopped, started, capfd, recipe, named):
    run = stopped()
    Path("my recipe.yaml").write_text(recipe)
    assert main(["runs", "resume", str(run)]) == 1
    said = capfd.readouterr().err
    assert not started and named in said and "--trust" in said
    assert main(["runs", "resume", str(run), "--trust"]) == 7


@pytest.mark.parametrize(
    "flags",
    [
        ["--reward_funcs", "mine.short"],
        ["--reward-funcs=mine.short"],
        ["--reward_funcs", "accuracy_reward", "mine.short"],
        ["--reward_f", "mine.short"],
        ["--task=mine.py"],
        ["--model_init_kwargs", '{"trust_remote_code": true}'],
        ["--trust_remote_code"],
        ["--trust_r", "--beta", "0"],
        ["--trust-remote-code=yes"],
    ],
    ids=" ".join,
)
def test_no_spelling_of_a_flag_hides_code(stopped, started, flags):
    assert main(["runs", "resume", str(stopped(["vpo", "train", "my recipe.yaml", *flags]))]) == 1
    assert not started


def test_flags_name_code_too_and_ours_needs_no_trust(stopped, started):
    run = stopped(["vpo", "train", "--processes", "1", "my recipe.yaml", "--reward_funcs", "mine.short"])
    assert main(["runs", "resume", str(run)]) == 1 and not started
    Path("my recipe.yaml").write_text(
        "task: code\ntask_options: {runner: vpo.tasks.code.sandboxed.run, path: data/rows.jsonl}\n"
        "trust_remote_code: false\nreward_funcs: null\n"
    )
    Path("other").mkdir()
    (run / "run.json").write_text(
        (run / "run.json").read_text().replace('"--reward_funcs", "mine.short"', '"--beta", "0"')
    )
    assert main(["runs", "resume", str(run)]) == 7


def test_a_run_of_another_folder_says_where_to_go(stopped, started, capfd, tmp_path):
    run = stopped(working_directory="/somewhere else")
    assert main(["runs", "resume", str(run)]) == 1
    assert "cd '/somewhere else'" in capfd.readouterr().err and not started


def test_what_cannot_be_resumed_says_why(stopped, started, capfd, tmp_path):
    def refused(folder, message):
        assert main(["runs", "resume", str(folder)]) == 1
        assert message in capfd.readouterr().err and not started

    run = stopped()
    RunFile(run).end(8, 8, "all steps done")
    refused(run, "is finished (all steps done): there is nothing to resume")
    refused(train_run(tmp_path / "alive", alive=True), "is running: expected a run that has stopped")
    bare = train_run(tmp_path / "bare")
    (bare / "checkpoint-1" / "trainer_state.json").unlink()
    refused(bare, "has no whole checkpoint")
    refused(train_run(tmp_path / "script", [sys.executable, "mine.py"]), "was not started by a command of vpo")
    refused(train_run(tmp_path / "secret", ["vpo", "train", "r", "--hub_token", "(left out: a secret)"]), "secret")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is no folder of a run")
    refused(tmp_path / "none", "there is no folder")


def test_a_search_is_resumed_by_its_folder(tmp_path, monkeypatch, started, capfd):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    text = "problem: maze\nsampler: {name: model, model: x}\nprocedure: lexicase\nbudget: {max_answers: 5}\nout: x\n"
    (out / "search.yaml").write_text(text)
    assert main(["runs", "resume", "out"]) == 7
    assert started[0][0] == ["-m", "vpo.cli", "search", "resume", "out"]
    (out / "search.yaml").write_text(text.replace("name: model,", "name: 'subprocess:call',"))
    assert main(["runs", "resume", "out"]) == 1
    assert "subprocess:call" in capfd.readouterr().err and len(started) == 1
    assert main(["runs", "resume", "out", "--trust"]) == 7
    assert started[1][0] == ["-m", "vpo.cli", "search", "resume", "out", "--trust"], "which asks for it itself"


RECIPE = """
model_name_or_path: tiny
task: maze
objective: vpo
num_answers: 3
answer_tag: route
ask_for_answers: false
num_generations: 4
per_device_train_batch_size: 8
max_completion_length: 24
max_steps: 6
learning_rate: 1.0e-3
save_strategy: steps
save_steps: 1
logging_steps: 1
report_to: none
use_cpu: true
bf16: false
gradient_checkpointing: false
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["-m", "vpo.cli", "train", "r.yaml"], ["-m", "trainers.vpo", "--config", "r.yaml"]]
)
def test_a_killed_run_that_is_resumed_has_the_weights_of_one_that_was_not(command, tmp_path):
    from vpo.tasks import get_task
    from vpo.tasks.tiny_policy import tiny_policy

    torch.manual_seed(0)
    policy, tokenizer = tiny_policy(get_task("maze"), num_answers=3, seed=0)
    policy.save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    (tmp_path / "r.yaml").write_text(RECIPE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    start = [sys.executable, *command, "--output_dir"]
    whole = subprocess.run([*start, "runs/whole"], **options)
    assert whole.returncode == 0, whole.stderr.decode()[-2000:]
    killed = subprocess.Popen([*start, "runs/killed"], **options)
    while not (tmp_path / "runs/killed/checkpoint-2/trainer_state.json").is_file():
        assert killed.poll() is None, killed.stderr.read().decode()[-2000:]
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert not (tmp_path / "runs/killed/model.safetensors").exists()
    resume = [sys.executable, "-m", "vpo.cli", "runs", "resume", "runs/killed"]
    resumed = subprocess.run(resume, **options)
    assert resumed.returncode == 0, resumed.stderr.decode()[-2000:]
    first, second = (load_file(tmp_path / f"runs/{name}/model.safetensors") for name in ("whole", "killed"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    record = RunFile(tmp_path / "runs/killed").read()
    assert record["resumed"][-1]["step"] >= 2 and record["ended"]["why"] == "all steps done"
    again = subprocess.run(resume, **options)
    assert again.returncode == 1 and b"there is nothing to resume" in again.stderr
