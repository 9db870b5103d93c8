"""Checkpoints: folders with a model and a tokenizer, one file of which is not what it should be."""

from __future__ import annotations

import contextlib
import functools
import json
import pickle
import struct
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutations import AS_TEXT, garbled, json_text, mutated
from tests.fuzz.target import Target
from tests.fuzz.watching import CANARY, empty_folder, watched
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from vpo.cli.models import load_model, require_tokenizer
from vpo.looped import LoopedConfig, LoopedForCausalLM

_OUTSIDE = "../outside/model.safetensors"
_CODE = f"import {CANARY}\nclass Model: pass\nclass Config: pass\n"
_HOSTILE = (
    {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model", "AutoTokenizer": ["code.Model", None]},
    {"AutoConfig": "../outside--code.Config"},
    *("code.Model", _OUTSIDE, "../outside", "PreTrainedModel", "LlamaForCausalLM", "BertModel", "llama", "gpt2"),
    *("bert", "t5", "mamba", "vpo_looped", "auto", "float16", "bfloat16", "complex64", "os.system", "yarn", "dynamic"),
)  # fmt: skip


class _Trap:
    """A pickle that would leave a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"import {CANARY}",)


@functools.cache
def _files(kind: str) -> dict[str, bytes]:
    """The files of a whole checkpoint; a sharded one has an index."""
    with tempfile.TemporaryDirectory() as name:
        model: Any = tiny_policy()
        if kind == "looped":
            model = LoopedForCausalLM(LoopedConfig(layer_config=model.config, core_layers=1, coda_layers=0))
        model.save_pretrained(name, max_shard_size="100KB" if kind == "sharded" else "1GB")
        tiny_tokenizer().save_pretrained(name)
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def _header(content: bytes) -> tuple[Any, bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


@st.composite
def _weights(draw: st.DrawFn, content: bytes) -> bytes:
    header, data = _header(content)
    text = json_text(draw(mutated(header, hostile=["F64", "BF16", "I64", [0, 2**62], [2**40], [0, 0], *AS_TEXT])))
    raw = text.encode("utf-8", "surrogatepass")
    lengths = [len(raw)] * 6 + [0, 1, 2**31, 2**63, 2**64 - 1, len(raw) + 10**6, len(raw) - 1]
    return draw(garbled(struct.pack("<Q", draw(st.sampled_from(lengths)) % 2**64) + raw + data, chance=3))


@st.composite
def _folders(draw: st.DrawFn) -> dict[str, bytes]:
    kind = draw(st.sampled_from(["plain", "sharded", "looped"]))
    files = dict(_files(kind))
    for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True)):
        if name.endswith(".json"):
            document = draw(mutated(json.loads(files[name]), hostile=[*_HOSTILE, *_HOSTILE, *AS_TEXT]))
            if isinstance(document, dict) and draw(st.integers(0, 3)) == 0:
                document["auto_map"] = draw(st.sampled_from(_HOSTILE[:3]))
            files[name] = draw(garbled(json_text(document).encode("utf-8", "surrogatepass"), chance=8))
        elif name.endswith(".safetensors"):
            files[name] = draw(_weights(files[name]))
        else:
            files[name] = draw(garbled(files[name], chance=1))
    change = draw(st.sampled_from(["", "", "pickle", "no weights", "index", "adapter", "gguf"]))
    weights = [name for name in files if name.endswith(".safetensors")]
    if change in ("pickle", "no weights"):
        for name in weights if change == "pickle" else weights[:1]:
            del files[name]
        files.pop("model.safetensors.index.json", None)
    if change == "index":
        names = [
            key for name in _files(kind) if name.endswith(".safetensors") for key in _header(_files(kind)[name])[0]
        ]
        whole = {
            "metadata": {"total_size": 1},
            "weight_map": dict.fromkeys(names, draw(st.sampled_from([_OUTSIDE, *weights]))),
        }
        files["model.safetensors.index.json"] = json_text(draw(mutated(whole, hostile=[_OUTSIDE]))).encode()
        files.pop("model.safetensors", None)
    if change == "adapter":
        adapter = {"peft_type": "LORA", "base_model_name_or_path": "../outside", "r": 2, "auto_mapping": None}
        files["adapter_config.json"] = json_text(draw(mutated(adapter, hostile=_HOSTILE))).encode()
        files["adapter_model.bin"] = pickle.dumps(_Trap())
    return {**files, **{name: pickle.dumps(_Trap()) for name in ("pytorch_model.bin", "training_args.bin")}}


def _indexed(index: bytes) -> list[Any]:
    """The files that an index names, as far as it can be read."""
    try:
        return list(json.loads(index)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _load(files: dict[str, bytes]) -> None:
    with empty_folder() as folder:
        outside = folder.parent / "outside"
        outside.mkdir()
        (outside / "code.py").write_text(_CODE)
        for name, content in _files("plain").items():
            (outside / name).write_bytes(content)
        (folder / "code.py").write_text(_CODE)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        for load in (load_model, require_tokenizer):
            with watched(folder, outside), contextlib.suppress(ValueError):
                try:
                    load(str(folder))
                except ValueError as error:
                    assert str(folder) in str(error) and len(str(error)) < 3000, str(error)[:500]
                    raise
        if _OUTSIDE in _indexed(files.get("model.safetensors.index.json", b"")) and "config.json" in files:
            with contextlib.suppress(ValueError):
                load_model(str(folder))
                raise AssertionError("weights from outside of the folder were loaded")


TARGETS = [Target("checkpoints", "a model's folder", _folders, _load, quick=40)]
