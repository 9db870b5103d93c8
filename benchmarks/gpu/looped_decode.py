"""On a GPU, what does a looped model decode a second, at fixed depth and at a depth that it chooses token by token?

The model's middle half becomes a loop of 4 passes. Four kinds decode the same prompts greedily, by turns: the source
without a loop; the looped model at fixed depth 4; at the same depth with the rule running and never stopping, which is
what choosing costs; and with a rule that stops about half of the tokens at 2 loops, which is what it may save. The
weights were not healed, so only time and memory mean something, not the texts. bfloat16, cached, `generate` of
transformers. About 10 minutes on one GPU of 80 GB, by estimate: it has not run on one.

    python benchmarks/gpu/looped_decode.py                        # Qwen3-1.7B
    python benchmarks/gpu/looped_decode.py --random-init 350M     # no download
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import torch
from device import add_model, choose_device, finish, forget, gib, parser, peak_gib, run, seconds
from models import load, looped, prompts, stops_early
from targets import Target

from eval.bootstrap import mean_and_error
from vpo.looped import FixedDepth, FixedPoint

CAP = 4
KINDS = ("source", "fixed", "rule that never stops", "rule that stops")


def decode(model: Any, ids: torch.Tensor, tokens: int, policy: Any = None) -> Any:
    options = {} if policy is None else {"depth_policy": policy}
    lengths = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        return model.generate(ids, attention_mask=mask, return_dict_in_generate=True, **lengths, **options)


def measure(models: dict[str, tuple[Any, Any]], ids: torch.Tensor, tokens: int, repeats: int) -> dict[str, Any]:
    """Of each kind: seconds of every repeat, peak memory above what lies there anyway, and mean depth."""
    device, found = ids.device, {}
    for kind, (model, policy) in models.items():  # warm-up: kernels are compiled and workspaces allocated
        forget(device)
        before = torch.cuda.memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        out = decode(model, ids, tokens, policy)
        peak, trace = peak_gib(device), getattr(out.past_key_values, "trace", None)
        found[kind] = {
            "seconds": [],
            "peak_gib": None if peak is None else peak - before,
            "mean_depth": 1.0 if trace is None else trace.depth[:, ids.shape[1] :].float().mean().item(),
        }
        del out, trace
    for turn in range(repeats):
        order = KINDS if turn % 2 == 0 else KINDS[::-1]  # who goes first changes, so a drifting clock favours nobody
        for kind in order:
            model, policy = models[kind]
            found[kind]["seconds"].append(seconds(device, lambda m=model, p=policy: decode(m, ids, tokens, p)))
    return found


def main() -> int:
    options = parser(__doc__ or "")
    add_model(options)
    options.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128], help="sequences at once")
    options.add_argument("--tokens", type=int, default=256, help="prompt tokens, and generated ones (default 256)")
    asked = options.parse_args()
    device = choose_device(asked)
    batches, tokens, repeats = ([1, 4], 8, 2) if asked.tiny else (asked.batches, asked.tokens, asked.repeats)
    source, tokenizer, name = load(asked, device, torch.float32 if asked.tiny else torch.bfloat16)
    model = looped(source, CAP)
    results, goals = {}, []
    core = model.config.core_layers
    print(f"{name}, core of {core} layers, cap {CAP}, {tokens} + {tokens} tokens, {repeats} repeats, seed {asked.seed}")
    print(f"{'batch':>5} {'kind':22} {'tokens/s':>10} {'time / fixed':>16} {'loops':>6} {'memory of decoding':>18}")
    for batch in batches:
        ids = prompts(tokenizer, batch, tokens, asked.seed + batch, device)
        rules = (FixedDepth(CAP), FixedPoint(tol=1e-30, cap=CAP), stops_early(model, ids, CAP))
        kinds = dict(zip(KINDS, [(source, None), *((model, rule) for rule in rules)], strict=True))
        found = results[f"batch {batch}"] = measure(kinds, ids, tokens, repeats)
        fixed = found["fixed"]["seconds"]
        for kind, of_kind in found.items():
            of_kind["ratios"] = [mine / base for mine, base in zip(of_kind["seconds"], fixed, strict=True)]
            rate = batch * tokens / statistics.median(of_kind["seconds"])
            ratio = mean_and_error(of_kind["ratios"])
            print(f"{batch:5} {kind:22} {rate:10.1f} {ratio!s:>16} {of_kind['mean_depth']:6.2f} ", end="")
            print(f"{gib(of_kind['peak_gib']):>18}")
        never, stops = (statistics.median(found[kind]["ratios"]) for kind in KINDS[2:])
        goals += [
            Target(f"batch {batch}: time of a rule that never stops / fixed depth", never, 1.1, at_least=False),
            Target(f"batch {batch}: speed of a rule that stops / fixed depth", 1 / stops, 1.25),
        ]
    return finish("looped_decode", asked, {"model": name, "cap": CAP, "tokens": tokens, "results": results}, goals)


if __name__ == "__main__":
    sys.exit(run(main, "Lower --batches (the last one first) or --tokens, or measure a smaller --random-init."))
