"""The model that is measured: one by its hub id or folder, random weights of a stated size, or a tiny one."""

from __future__ import annotations

import argparse
import re
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from vpo.looped import FixedPoint, LoopedForCausalLM
from vpo.looped.convert import convert
from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = [f"w{number}" for number in range(200)]
_VOCABULARY = 32_000  # of random weights: a word tokenizer fills the first rows alone, and all of them are computed
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([MB])")


def load(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any, str]:
    """(model in ``dtype`` on ``device``, its tokenizer, how to call it).

    Raises:
        ValueError: The size is none, or the model cannot be loaded.
    """
    if not options.tiny and options.random_init is None:
        try:
            tokenizer = AutoTokenizer.from_pretrained(options.model)
            model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, use_safetensors=True)
        except (OSError, ValueError) as error:
            said = str(error).strip().split("\n")[0]
            raise ValueError(
                f"{options.model} cannot be loaded: {said} Expected a folder or a hub id that can be reached; "
                "--random-init 350M needs neither."
            ) from error
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return model.to(device).eval(), tokenizer, options.model
    tokenizer = word_tokenizer(WORDS)
    config = shape(parameters(options.random_init)) if not options.tiny else _config(64, 4, 256)
    torch.manual_seed(options.seed)
    with torch.device(device):  # billions of random numbers are drawn where there is the bandwidth for it
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    count = sum(each.numel() for each in model.parameters())
    return model.to(device).eval(), tokenizer, f"random weights, {count / 1e6:.4g} M parameters"


def looped(source: Any, cap: int) -> LoopedForCausalLM:
    """The model with the middle half of its layers as the loop of ``cap`` passes."""
    layers = source.config.num_hidden_layers
    prelude = max(1, layers // 4)
    core = max(1, layers // 2)
    return convert(source, prelude, core, layers - prelude - core, num_loops=cap)


@torch.no_grad()
def stops_early(model: Any, ids: torch.Tensor, cap: int) -> FixedPoint:
    """A rule that stops about half of the tokens after two loops: no model was healed, so calibration says nothing."""
    residuals = model(ids[:8], num_loops=2, use_cache=False, logits_to_keep=1).loop_residuals.float()
    return FixedPoint(tol=residuals[residuals.isfinite()].median().item(), cap=cap)


def prompts(tokenizer: Any, rows: int, length: int, seed: int, device: torch.device) -> torch.Tensor:
    """(rows, length) random tokens that are no special ones."""
    draw = torch.Generator().manual_seed(seed)
    allowed = torch.tensor(sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids)))
    return allowed[torch.randint(len(allowed), (rows, length), generator=draw)].to(device)


def parameters(size: str) -> float:
    """Parameters that "350M" or "1.5B" means.

    Raises:
        ValueError: It is written otherwise, or lies outside of 10M to 20B.
    """
    found = _SIZE.fullmatch(size.upper())
    count = float(found[1]) * {"M": 1e6, "B": 1e9}[found[2]] if found else 0.0
    if not 1e7 <= count <= 2e10:
        raise ValueError(f"the size is {size!r}: expected one such as 350M or 1.5B, from 10M to 20B.")
    return count


def shape(count: float, vocabulary: int = _VOCABULARY) -> LlamaConfig:
    """A Llama of about ``count`` parameters, whose depth is near width / 64."""
    best: tuple[float, int, int] = (float("inf"), 64, 4)
    for width in range(128, 8193, 64):
        layers = max(4, round((count - vocabulary * width) / (12 * width**2)))
        off = abs(vocabulary * width + 12 * layers * width**2 - count) / count
        best = min(best, (off + abs(width / layers - 64) / 640, width, layers))
    return _config(best[1], best[2], vocabulary)


def _config(width: int, layers: int, vocabulary: int) -> LlamaConfig:
    heads = max(2, width // 64)
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=8 * width // 3 // 32 * 32,  # with attention's 4 widths: 12 width^2 a layer
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
