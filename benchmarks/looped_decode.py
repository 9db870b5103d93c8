"""What does looping cost in decoding? A looped model against a plain one with as many executed layers.

Both decode greedily through `generate` with their own caches: a looped model of 2 + 4 x 3 + 2 layers at fixed depth,
and a plain Llama of 16 layers of the same shape. They take turns, also at going first, so what disturbs the machine
disturbs both. Then the memory of the looped cache against its formula, at fixed and at chosen depth.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from targets import Target, finish, parser
from transformers import AutoModelForCausalLM, LlamaConfig

from eval.bootstrap import mean_and_error
from vpo.looped import FixedDepth, FixedPoint, LoopedConfig, LoopedForCausalLM, cache_bytes

PRELUDE, CORE, CODA, LOOPS = 2, 4, 2, 3
VOCABULARY = 1000


def shape(width: int, layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def models(width: int) -> tuple[LoopedForCausalLM, torch.nn.Module]:
    torch.manual_seed(0)
    parts = {"prelude_layers": PRELUDE, "core_layers": CORE, "coda_layers": CODA, "num_loops": LOOPS}
    looped = LoopedForCausalLM(LoopedConfig(layer_config=shape(width, PRELUDE + CORE + CODA), **parts)).eval()
    plain = AutoModelForCausalLM.from_config(shape(width, PRELUDE + CORE * LOOPS + CODA)).eval()
    return looped, plain


@torch.no_grad()
def seconds(model, prompts: torch.Tensor, new_tokens: int, **options) -> float:
    start = time.perf_counter()
    lengths = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens}
    model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False, **lengths, **options)
    return time.perf_counter() - start


def pair(plain, looped, prompts: torch.Tensor, new_tokens: int, looped_first: bool) -> tuple[float, float]:
    """Seconds of (plain, looped), one after the other."""
    if looped_first:
        looped_seconds = seconds(looped, prompts, new_tokens, num_loops=LOOPS)
        return seconds(plain, prompts, new_tokens), looped_seconds
    return seconds(plain, prompts, new_tokens), seconds(looped, prompts, new_tokens, num_loops=LOOPS)


@torch.no_grad()
def memory(model: LoopedForCausalLM, prompts: torch.Tensor, policy) -> tuple[int, int]:
    """(bytes allocated, bytes by the formula) after prefill and ten steps."""
    cache = model(prompts, depth_policy=policy, use_cache=True).past_key_values
    for step in range(10):
        model(prompts[:, step : step + 1], past_key_values=cache, depth_policy=policy)
    layer = cache.layers[0]
    planes = int(cache.trace.depth.max())
    return cache.nbytes, cache_bytes(model.config, layer.batch_size, layer.capacity, planes, itemsize=4)


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    width, repeats, new_tokens = (64, 2, 8) if options.quick else (256, 12, 64)
    looped, plain = models(width)
    results, targets = {}, []
    for batch in (1, 8, 32):
        prompts = torch.randint(3, VOCABULARY, (batch, 32), generator=torch.Generator().manual_seed(batch))
        seconds(looped, prompts, 4), seconds(plain, prompts, 4)  # warm up
        pairs = [pair(plain, looped, prompts, new_tokens, looped_first=bool(turn % 2)) for turn in range(repeats)]
        ratios = [plain_s / looped_s for plain_s, looped_s in pairs]
        rate = [batch * new_tokens / statistics.median(column) for column in zip(*pairs, strict=True)]
        results[f"batch {batch}"] = {"plain_tokens_per_s": rate[0], "looped_tokens_per_s": rate[1], "ratios": ratios}
        print(
            f"batch {batch:3}: plain {rate[0]:7.1f} tokens/s, looped {rate[1]:7.1f} tokens/s, "
            f"ratio {mean_and_error(ratios)} over {repeats} pairs, seed 0"
        )
        name = f"looped / plain tokens per second at equal executed layers, batch {batch}"
        targets.append(Target(name, statistics.median(ratios), 0.95))
    prompts = torch.randint(3, VOCABULARY, (8, 32), generator=torch.Generator().manual_seed(9))
    residuals = looped(prompts, num_loops=2, use_cache=False).loop_residuals
    chosen = FixedPoint(tol=residuals.median().item(), cap=6)  # an untrained model: about half the tokens stop at 2
    for name, policy in (("fixed", FixedDepth(LOOPS)), ("chosen", chosen)):
        allocated, formula = memory(looped, prompts, policy)
        results[f"memory, {name} depth"] = {"allocated": allocated, "formula": formula}
        print(f"memory at {name} depth: {allocated} bytes allocated, {formula} by the formula")
        targets.append(Target(f"memory / formula, {name} depth", allocated / formula, 1.0, at_least=False))
    return finish("looped_decode", options.quick, {"width": width, "results": results}, targets)


if __name__ == "__main__":
    sys.exit(main())
