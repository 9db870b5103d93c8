"""A checkpoint's folder from anybody: read whole and from itself alone, or refused with the file's name."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from vpo.cli.models import load_model, require_tokenizer

INDEX = "model.safetensors.index.json"


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "policy"
    tiny_policy().save_pretrained(place)
    tiny_tokenizer().save_pretrained(place)
    return place


def point_to(folder, file):
    names = load_file(folder / "model.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, file)}))


def test_a_whole_checkpoint_is_loaded_sharded_or_not(folder, tmp_path):
    whole = load_model(str(folder))
    whole.save_pretrained(tmp_path / "sharded", max_shard_size="50KB")
    assert (tmp_path / "sharded" / INDEX).is_file()
    again = load_model(str(tmp_path / "sharded")).state_dict()
    assert all((again[name] == value).all() for name, value in whole.state_dict().items())


@pytest.mark.parametrize("form", ["../outside/{}", "{absolute}", "sub/../../outside/{}"])
def test_an_index_that_leads_out_of_the_folder_is_refused(folder, tmp_path, form):
    (tmp_path / "outside").mkdir()
    shutil.copy(folder / "model.safetensors", tmp_path / "outside" / "model.safetensors")
    (folder / "sub").mkdir()
    absolute = str(tmp_path / "outside" / "model.safetensors")
    point_to(folder, form.format("model.safetensors", absolute=absolute))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="in the folder itself"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[]", "has no weight_map"),
        (b'{"weight_map": {"a": 1}}', "has no weight_map"),
        (b'{"weight_map": {"a": "other.bin"}}', "expected files of safetensors"),
        (b'{"weight_map": {"a": "other.safetensors"}}', "is not there"),
    ],
)
def test_an_index_that_is_none_is_refused(folder, content, message):
    (folder / INDEX).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_model(str(folder))


@pytest.mark.parametrize("damage", ["cut", "no header", "huge header", "empty"])
def test_damaged_weights_are_named(folder, damage):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    new = {
        "cut": content[:-1000],
        "no header": b"\0" * 8,
        "huge header": (2**62).to_bytes(8, "little") + content[8:],
        "empty": b"",
    }
    path.write_bytes(new[damage])
    with pytest.raises(ValueError, match=r"model\.safetensors is no whole file of safetensors"):
        load_model(str(folder))


def test_weights_that_are_missing_are_not_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's weights, such as model\.layers\.1\.mlp\.up_proj"):
        load_model(str(folder))


def test_an_adapter_as_a_pickle_is_not_read(folder, tmp_path):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    with pytest.raises(ValueError, match=r"no adapter_model\.safetensors"):
        load_model(str(folder))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"num_attention_heads": "two"}),
        ("config.json", {"architectures": -1.5}),
        ("config.json", {"hidden_size": 65}),
        ("tokenizer_config.json", {"eos_token": ["a"]}),
        ("tokenizer_config.json", {"tokenizer_class": 3}),
        ("tokenizer.json", {"model": {"type": "WordLevel", "vocab": {"a": "../outside"}}}),
    ],
)
def test_settings_that_make_no_sense_are_one_message_with_the_folder(folder, file, changes):
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    load = load_model if file == "config.json" else require_tokenizer
    with pytest.raises(ValueError, match=str(folder)) as raised:
        load(str(folder))
    assert len(str(raised.value)) < 1000


def test_code_that_comes_with_a_tokenizer_is_not_run_and_nobody_is_asked(folder, tmp_path, monkeypatch):
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'trace')!r})\nclass Tokenizer: pass\n")
    path = folder / "tokenizer_config.json"
    foreign = {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}, "tokenizer_class": "Unknown"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **foreign}))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question on the terminal"))
    try:
        require_tokenizer(str(folder))
    except ValueError as error:
        assert str(folder) in str(error)
    assert not (tmp_path / "trace").exists()
