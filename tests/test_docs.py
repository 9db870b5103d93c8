"""Command lines and examples of the guides hold against what they call."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "vllm.md").read_text()
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^    (\S.*)$", GUIDE, re.MULTILINE)]


def options(words: list[str]) -> list[str]:
    return [word for word in words if word.startswith("--")]


def test_the_server_is_started_as_trl_starts_it() -> None:
    from trl.scripts.vllm_serve import ScriptArguments, build_command

    (command,) = [words for words in COMMANDS if "VLLM_SERVER_DEV_MODE=1" in words]
    theirs = build_command(ScriptArguments(model="Qwen/Qwen3-0.6B"))
    first = command.index("Qwen/Qwen3-0.6B") + 1
    assert command[first:] == theirs[-len(command[first:]) :]
    assert command[:first] == ["CUDA_VISIBLE_DEVICES=0", "VLLM_SERVER_DEV_MODE=1", "vllm", "serve", "Qwen/Qwen3-0.6B"]
    for named in ("--tensor-parallel-size", "--gpu-memory-utilization", "--dtype"):
        assert named in GUIDE and named in theirs


@pytest.mark.parametrize("words", [words for words in COMMANDS if "trainers.vpo" in words], ids=" ".join)
def test_a_training_command_has_options_that_there_are(words: list[str], tmp_path: Path) -> None:
    from accelerate.commands.launch import launch_command_parser

    from trainers.vpo import make_parser

    split = words.index("-m")
    launcher = launch_command_parser()._option_string_actions
    assert all(option in launcher for option in options(words[:split]))
    (tmp_path / "recipe.yaml").write_text(
        f"model_name_or_path: some/model\noutput_dir: {tmp_path}\ntask: maze\nbf16: false"
    )
    arguments = [str(tmp_path / word) if word == "recipe.yaml" else word for word in words[split + 2 :]]
    _, args, _, _ = make_parser().parse_args_and_config(arguments)
    assert args.use_vllm is True
    assert args.vllm_mode == ("server" if "server" in words else "colocate")
    assert args.vllm_server_base_url == ("http://localhost:8000" if "server" in words else None)


def test_the_configuration_is_one() -> None:
    (source,) = [block for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "VPOConfig" in block]
    found: dict = {}
    exec(
        compile(source.replace("use_vllm=True,", "use_vllm=True, bf16=False, use_cpu=True,"), "docs/vllm.md", "exec"),
        found,
    )
    assert found["args"].use_vllm and found["args"].vllm_mode == "colocate"
    commented = re.findall(r"# (\w+)=", source)
    assert len(commented) == 2 and all(hasattr(found["args"], name) for name in commented)


def test_the_options_metrics_and_targets_that_it_names_are_there() -> None:
    from trl import GRPOTrainer

    from trainers import VPOConfig

    fields = VPOConfig.__dataclass_fields__
    named = set(re.findall(r"`(vllm_\w+|generation_kwargs|mask_truncated_completions|answer_credit|use_vllm)", GUIDE))
    assert len(named) > 5 and named <= fields.keys()
    source = inspect.getsource(GRPOTrainer)
    metrics = set(re.findall(r"`(sampling/[\w/]+)`", GUIDE))
    assert len(metrics) == 4 and all(metric in source for metric in metrics)
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", GUIDE):
        assert re.search(rf"^{target}:", targets, re.MULTILINE), target


# --- docs/scaling.md --------------------------------------------------------------------------------------------------

SCALING = (ROOT / "docs" / "scaling.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", SCALING, re.DOTALL)


@pytest.mark.distributed
def test_the_example_of_a_sandbox_on_ray_prints_what_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vpo[ray]'")
    (tmp_path / "example.py").write_text(BLOCKS[0])
    command = [sys.executable, str(tmp_path / "example.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    if "NotEnforced" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    printed = re.search(r"It prints `(.*?)` and `(.*?)`", SCALING)
    assert printed is not None and done.stdout.splitlines() == list(printed.groups())


def test_the_other_examples_of_scaling_name_what_there_is() -> None:
    from search import ModelSampler, RaySampler
    from vpo.sandbox import RaySandbox

    found: dict = {}
    for block in BLOCKS[1:]:
        exec(compile(block, "docs/scaling.md", "exec"), found)
    seen: dict = {}
    found["get_task"] = lambda name, **options: seen.update(options, name=name)
    found["coding_task"]("box", "path")
    assert seen["name"] == "code" and seen["concurrency"] == 64
    assert found["ModelSampler"] is ModelSampler
    named = set(re.findall(r"`(\w+)=`", SCALING)) | {"start_seconds", "chunk_size", "chunk_seconds", "address"}
    options = {name for each in (RaySampler, RaySandbox) for name in inspect.signature(each).parameters}
    assert len(named) > 5 and named <= options
    call = ast.parse(BLOCKS[2]).body[-1].body[0].value
    assert {keyword.arg for keyword in call.keywords} <= inspect.signature(RaySampler).parameters.keys()
