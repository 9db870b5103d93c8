"""The pipelines for GPUs, one step of every stage on CPUs: the real name, found in a cache that holds a tiny Qwen3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from transformers import Qwen3Config, Qwen3ForCausalLM

from vpo.tasks.word_tokenizer import word_tokenizer

ROOT = Path(__file__).parents[2]
NAME = "Qwen/Qwen3-1.7B"
# What a machine without GPUs cannot do, and what would take it too long.
SMALL = [
    "heal.use_cpu=true", "heal.bf16=false", "heal.per_device_train_batch_size=2", "train.use_cpu=true",
    "train.bf16=false", "train.num_generations=4", "train.generation_batch_size=16", "train.max_completion_length=8",
    "train.per_device_train_batch_size=4", "train.gradient_accumulation_steps=2", "search.max_new_tokens=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """A cache of the hub with a tiny model under the real one's name: 28 layers, as it has, of width 16."""
    home = tmp_path_factory.mktemp("hub")
    model = home / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = model / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0" * 40)
    tokenizer = word_tokenizer(["Make", "from", "in", "ways,", "as", *map(str, range(100))])
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=28, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(snapshot)
    tokenizer.save_pretrained(snapshot)
    return home


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "processes"), [("qwen3_1.7b_gpu", 1), ("qwen3_1.7b_fsdp2", 2)])
def test_one_step_of_every_stage_of_the_real_name_and_nothing_is_kept(recipe, processes, hub, tmp_path):
    sets = [*SMALL, f"train.processes={processes}", f"out={tmp_path / 'run'}"]
    words = [word for each in sets for word in ("--set", each)]
    program = "import sys; from vpo.cli.app import main; sys.exit(main())"
    environment = {**os.environ, "HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, "pipeline", f"recipes/{recipe}.yaml", "--dry-run", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ran = [line.partition(":")[0] for line in done.stdout.splitlines() if line.endswith(" s")]
    evaluated = [f"evaluate {policy}" for policy in ("source", "converted", "healed", "trained")]
    assert ran == ["convert", "heal", "train", *evaluated, "monitor", "search"]
    assert "nothing was kept" in done.stdout
    assert not (tmp_path / "run").exists()


def test_the_two_differ_in_what_eight_processes_need():
    one, eight = (
        yaml.safe_load((ROOT / "recipes" / f"qwen3_1.7b_{name}.yaml").read_text()) for name in ("gpu", "fsdp2")
    )
    assert {stage for stage in one if one[stage] != eight[stage]} == {"out", "train"}
    changed = {key for key in eight["train"] if one["train"].get(key) != eight["train"][key]}
    assert changed == {"processes", "accelerate_config", "gradient_accumulation_steps"}
    size = [
        recipe["train"]["per_device_train_batch_size"]
        * recipe["train"]["gradient_accumulation_steps"]
        * recipe["train"].get("processes", 1)
        for recipe in (one, eight)
    ]
    assert size == [512, 512]  # 64 prompts x 8 completions an update
    assert (ROOT / eight["train"]["accelerate_config"]).is_file()
