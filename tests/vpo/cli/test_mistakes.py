"""What a new user gets wrong in an empty folder, and what the commands say to it: one message, and how to mend it."""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path

import pytest
import yaml

from vpo.cli.app import main
from vpo.cli.errors import of_the_machine, raised_by_us

RECIPE = {"model_name_or_path": "./none", "task": "maze", "output_dir": "o", "use_cpu": True, "bf16": False}
SEARCH = {
    "problem": "maze",
    "sampler": {"name": "model", "model": "./none"},
    "procedure": "best_of_n",
    "budget": {"max_answers": 6},
    "out": "searched",
}


@pytest.fixture
def said(tmp_path, monkeypatch, capfd):
    """What a command line says where it fails, in one line: ``said("train", "r.yaml")``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*words: str, status: int = 1) -> str:
        assert main(list(words)) == status
        errors = capfd.readouterr().err
        assert "Traceback" not in errors
        return " ".join(errors.split())

    return run


def write(name: str, content: dict, **changes) -> str:
    Path(name).write_text(yaml.safe_dump({k: v for k, v in (content | changes).items() if v is not None}))
    return name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "./none is no folder: expected one with a model's config.json and weights, or a name on the hub"),
        ({"model_name_or_path": "empty"}, "empty holds no model: expected config.json and weights in it. Name the"),
        (
            {"model_name_or_path": "above"},
            "above holds no model: expected config.json and weights in it. Did you mean ab",
        ),
        (
            {"model_name_or_path": "foreign"},
            "there is no model 'foreign' to be had: expected a folder or a name on the",
        ),
        (
            {"model_name_or_path": "nobody/nothing"},
            "there is no model 'nobody/nothing' to be had: expected a folder or",
        ),
        (
            {"task": "mazes", "model_name_or_path": "model"},
            "there is no task 'mazes': known tasks are 'maze', 'knapsack'",
        ),
        ({"use_cpu": None, "bf16": None}, "On a machine without: use_cpu: true and bf16: false."),
    ],
)
def test_training(said, changes, message):
    Path("empty").mkdir()
    for name, text in (
        ("foreign", "{}"),
        ("above/checkpoint-3", '{"model_type": "llama"}'),
        ("model", '{"model_type": "llama"}'),
    ):
        Path(name).mkdir(parents=True)
        (Path(name) / "config.json").write_text(text)
    assert message in said("train", write("r.yaml", RECIPE, **changes))
    assert not Path("o").exists()


def test_vllm_that_is_not_installed(said):
    pytest.importorskip("trl")
    from importlib.util import find_spec

    if find_spec("vllm") is not None:
        pytest.skip("vLLM is installed here")
    from vpo.tasks import get_task
    from vpo.tasks.tiny_policy import tiny_policy

    policy, tokenizer = tiny_policy(get_task("maze"), num_answers=3, seed=0)
    policy.save_pretrained("tiny")
    tokenizer.save_pretrained("tiny")
    recipe = write("r.yaml", RECIPE, model_name_or_path="tiny", use_vllm=True, report_to="none")
    assert "use_vllm is set and vLLM is not installed" in said("train", recipe)
    sampler = {"name": "vllm", "model": "tiny"}
    assert "vLLM is not installed" in said("search", "run", write("s.yaml", SEARCH, sampler=sampler))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "none.yaml"), "there is no recipe none.yaml: expected a YAML file"),
        (("train", "."), "there is no recipe .: expected a YAML file"),
        (("compare", "none.yaml"), "there is no recipe none.yaml"),
        (("search", "run", "none.yaml"), "there is no file none.yaml: expected a YAML file with problem, sampler"),
        (("search", "compare", "none.yaml"), "there is no configuration none.yaml: expected a YAML file"),
        (("search", "show", "."), "ledger.jsonl is not there: expected the folder of a search"),
        (("search", "resume", "none"), "search.yaml is not there: expected the folder of a search"),
        (("runs",), "there is no folder runs"),
        (("runs", "show", "."), "run.json is not there: expected the folder of a run"),
        (("report",), "there is no runs/demo: expected a demo's folder. `vpo demo` makes one"),
        (("monitor", "."), "holds nothing: expected a run's folder with rollouts/"),
        (("monitor", "none"), "there is nothing at none: expected a run's folder"),
        (("serve", "./none"), "./none is no folder: expected one with a model's config.json"),
        (("serve", "runs/healed"), "runs/healed is no folder: expected one with a model's config.json"),
        (("serve", "runs/maze/final"), "runs/maze/final is no folder: expected one with a model's config.json"),
        (
            ("serve", "tinny"),
            "there is no model 'tinny' to be had: expected a folder or a name on the hub. There is no",
        ),
        (
            ("convert", "a/b", "--out", "x", "--prelude", "1", "--core", "1", "--coda", "1"),
            "there is no model 'a/b' to be had: expected a folder or a name on the hub. There is no such folder here",
        ),
        (("convert", "./none", "--out", "x", "--prelude", "1", "--core", "1", "--coda", "1"), "./none is no folder"),
        (("tasks", "check", "mazes"), "there is no task 'mazes'"),
        (("tasks", "check", "mine.py"), "mine.py"),
        (("monitor", "none", "--rate", "0.1", "--run-length", "9"), "--rate is 0.1 and --run-length 9.0: expected one"),
    ],
)
def test_names_of_what_is_not_there(said, words, message):
    assert message in said(*words)


def test_a_procedure_that_is_not_there_is_said_before_a_model_is_loaded(said):
    assert "there is no procedure 'best_of_m'" in said("search", "run", write("s.yaml", SEARCH, procedure="best_of_m"))
    assert not Path("searched").exists()


def test_a_tracker_of_alerts_that_is_not_installed(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    Path("log.jsonl").write_text('{"step": 0, "prompt": "a", "completion": "b"}\n')
    assert "'trackio', which is not installed" in said("monitor", "log.jsonl", "--alert", "trackio")


def test_an_import_that_fails_in_our_own_code_keeps_its_traceback():
    try:
        import vpo.there_is_no_such_module  # noqa: F401
    except ImportError as error:
        assert not raised_by_us(error)


def test_a_search_without_its_model(said):
    assert "./none is no folder" in said("search", "run", write("s.yaml", SEARCH))
    assert not Path("searched").exists()


@pytest.mark.parametrize("words", [("trian",), ("runs", "shwo", "a", "b"), ("train",), ("serve", "--port", "0", "x")])
def test_command_lines_that_make_no_sense(said, words):
    assert "Usage: vpo" in said(*words, status=2)


def test_a_port_that_is_taken_is_said_before_a_model_is_loaded(said):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = said("serve", "./none", "--port", str(port))
    assert f"127.0.0.1:{port} cannot be listened at" in message and "--port" in message


def test_a_folder_that_is_a_file_and_one_that_cannot_be_written(said):
    Path("file").write_text("")
    message = said("demo", "--quick", "--out", "file/demo")
    assert "file/demo" in message and "a part of this path is a file" in message


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EADDRINUSE])
def test_errors_of_the_machine_are_said_wherever_they_were_found(number):
    said = of_the_machine(OSError(number, "what", "place"))
    assert said is not None and said.startswith("place: what. Expected ")
    assert of_the_machine(OSError(errno.EPIPE, "what")) is None and of_the_machine(ValueError("x")) is None
