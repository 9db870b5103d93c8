"""Weights are read from safetensors alone, wherever a model comes by name: other files are pickles."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from tests.search.tiny_policy import tiny_tokenizer
from trainers import HealingConfig, HealingTrainer, VPOConfig, VPOTrainer
from vpo.cli.models import load_model
from vpo.looped import LoopedConfig, LoopedForCausalLM

LAYERS = LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=4, num_attention_heads=2)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def pickled(tmp_path) -> Path:
    """A model's folder whose weights are a pickle that leaves a trace, under all names of weights."""
    folder = tmp_path / "model"
    LlamaConfig(**{**LAYERS.to_dict(), "architectures": ["LlamaForCausalLM"]}).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    for name in ("pytorch_model.bin", "model.bin"):
        (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    return folder


def arguments(folder: Path) -> dict:
    return {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": "none"}


def as_policy(folder: Path, out: Path) -> None:
    data = Dataset.from_dict({"prompt": ["a"]})
    VPOTrainer(str(folder), lambda completions, **kwargs: [0.0], VPOConfig(**arguments(out)), data)


def as_reward(folder: Path, out: Path) -> None:
    policy = LlamaForCausalLM(LAYERS)
    data = Dataset.from_dict({"prompt": ["a"]})
    VPOTrainer(policy, str(folder), VPOConfig(**arguments(out)), data, processing_class=tiny_tokenizer())


def as_teacher(folder: Path, out: Path) -> None:
    student = LoopedForCausalLM(LoopedConfig(layer_config=LAYERS))
    data = Dataset.from_dict({"text": ["a b"]})
    config = HealingConfig(**arguments(out))
    HealingTrainer(student, teacher=str(folder), args=config, train_dataset=data, processing_class=tiny_tokenizer())


@pytest.mark.parametrize("use", [lambda folder, out: load_model(str(folder)), as_policy, as_reward, as_teacher])
def test_a_pickle_in_the_place_of_weights_is_neither_run_nor_read(use, pickled, tmp_path):
    with pytest.raises((OSError, ValueError), match="safetensors"):
        use(pickled, tmp_path / "out")
    assert not (tmp_path / "trace").exists()


def test_commands_say_how_to_go_on(pickled):
    with pytest.raises(ValueError, match=r"no weights as safetensors.*save it again"):
        load_model(str(pickled))


def test_models_of_our_own_are_saved_so_that_they_load(tmp_path):
    LlamaForCausalLM(LAYERS).save_pretrained(tmp_path / "policy")
    LlamaForSequenceClassification(LAYERS).save_pretrained(tmp_path / "reward")
    assert load_model(str(tmp_path / "policy")).config.vocab_size == 40
    assert [path.suffix for path in (tmp_path / "reward").glob("model*")] == [".safetensors"]
