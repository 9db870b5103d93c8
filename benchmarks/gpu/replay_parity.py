"""In bfloat16 on a GPU, how far are log-probabilities replayed at the sampled depths from those of sampling?

GRPO divides them, so the gap is noise in the ratio. Completions are sampled with a cache, token by token, and scored in
one pass: kernels differ, and bfloat16 has 8 bits, so even a model without a loop shows a gap. Four kinds, the same
prompts and weights: the source without a loop; the looped model at fixed depth; at chosen depth, replayed token by
token as VPOTrainer does; and at chosen depth, scored at the cap, which is what a stack does that knows no depths. Each
in bfloat16 and in float32 without TF32, where replay is to be exact up to rounding. Gaps are in nats a token, standard
errors over sequences. The weights were not healed: depths are chosen by a rule that stops about half of the tokens.
About 5 minutes on one GPU of 80 GB, by estimate: it has not run on one.

    python benchmarks/gpu/replay_parity.py                        # Qwen3-1.7B
    python benchmarks/gpu/replay_parity.py --random-init 350M     # no download
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from device import add_model, choose_device, finish, forget, gib, parser, peak_gib, run
from models import load, looped, prompts, stops_early
from targets import Target

from eval.bootstrap import mean_and_error
from trainers.depth_recorder import record_depths
from vpo.looped import FixedDepth, Replay

CAP = 4
KINDS = ("source", "fixed depth", "chosen depth, replayed", "chosen depth, scored at the cap")


def sample(model: Any, ids: torch.Tensor, tokens: int, policy: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Completions appended to the prompts (B, T), their log-probabilities at sampling (B, C), and the depths."""
    lengths = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": True, "top_k": 0, "top_p": 1.0}
    lengths |= {"temperature": 1.0, "return_dict_in_generate": True, "attention_mask": torch.ones_like(ids)}
    if policy is None:
        return *sample_plain(model, ids, lengths), None
    with record_depths(model, 1.0) as recorder:
        sequences = model.generate(ids, depth_policy=policy, **lengths).sequences
    drawn = sequences[:, ids.shape[1] :]
    record = recorder.result(ids.tolist(), drawn.tolist(), ids.shape[1])
    return sequences, record.logps, record.trace


def sample_plain(model: Any, ids: torch.Tensor, lengths: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of a model without a loop, token by token: all logits together are 10 GB of a large vocabulary."""
    found: list[torch.Tensor] = []
    pending: list[torch.Tensor] = []

    def draw(tokens: torch.Tensor) -> None:
        found.append(pending.pop().float().log_softmax(-1).gather(-1, tokens))

    def see(module: Any, args: Any, inputs: dict[str, Any], output: Any) -> None:
        if pending:
            draw(inputs["input_ids"][:, -1:])
        pending.append(output.logits[:, -1].clone())

    handle = model.register_forward_hook(see, with_kwargs=True)
    try:
        sequences = model.generate(ids, **lengths).sequences
    finally:
        handle.remove()
    draw(sequences[:, -1:])
    return sequences, torch.cat(found, dim=1)


def score(model: Any, sequences: torch.Tensor, tokens: int, policy: Any, rows: int) -> torch.Tensor:
    """(B, C) log-probabilities of the completions in one pass, ``rows`` sequences at a time."""
    found = []
    for start in range(0, len(sequences), rows):
        part = sequences[start : start + rows]
        options = {} if policy is None else {"depth_policy": policy(start)}
        logits = model(part, use_cache=False, logits_to_keep=tokens + 1, **options).logits[:, :-1]
        drawn = part[:, -tokens:].unsqueeze(-1)
        found.append(logits.float().log_softmax(-1).gather(-1, drawn).squeeze(-1))
    return torch.cat(found)


@torch.no_grad()
def gaps(source: Any, model: Any, ids: torch.Tensor, tokens: int, rows: int) -> dict[str, dict[str, Any]]:
    """Of each kind: |sampled - scored| in nats, by token and by sequence, and the ratio that training would see."""
    rule = stops_early(model, ids, CAP)
    found = {}
    for kind in KINDS:
        torch.manual_seed(len(ids))
        policy = {"source": None, "fixed depth": FixedDepth(CAP)}.get(kind, rule)
        of_kind = source if policy is None else model
        sequences, sampled, trace = sample(of_kind, ids, tokens, policy)
        at: Any = None if policy is None else lambda start: FixedDepth(CAP)
        if kind == "chosen depth, replayed":
            at = lambda start, t=trace: Replay(t.depth[start : start + rows], t.damping[start : start + rows], rule)  # noqa: E731
        scored = score(of_kind, sequences, tokens, at, rows)
        gap = (scored - sampled).abs()
        depth = 1.0 if trace is None else trace.depth[:, -tokens - 1 : -1].float().mean().item()
        found[kind] = {
            "mean": gap.mean().item(),
            "p99": gap.flatten().float().quantile(0.99).item() if gap.numel() < 1e7 else float("nan"),
            "max": gap.max().item(),  # NaN stays NaN, and meets no target
            "by_sequence": gap.mean(dim=1).tolist(),
            "ratio_off_by_a_fifth": ((scored - sampled).exp() - 1).abs().gt(0.2).float().mean().item(),
            "mean_depth": depth,
        }
    return found


def main() -> int:
    options = parser(__doc__ or "")
    add_model(options)
    options.add_argument("--batch", type=int, default=64, help="sequences that are sampled (default 64)")
    options.add_argument("--rows", type=int, default=8, help="sequences scored in one pass (default 8)")
    options.add_argument("--tokens", type=int, default=256, help="prompt tokens, and sampled ones (default 256)")
    asked = options.parse_args()
    device = choose_device(asked)
    batch, rows, tokens = (4, 2, 8) if asked.tiny else (asked.batch, asked.rows, asked.tokens)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 means float32
    results, name = {}, ""
    print(f"{'':9} {'kind':32} {'mean gap, nats':>20} {'p99':>9} {'max':>9} {'ratio off by > .2':>18} {'loops':>6}")
    for dtype in (torch.float32, torch.bfloat16):
        forget(device)
        source, tokenizer, name = load(asked, device, dtype)
        model = looped(source, CAP)
        numeric = str(dtype).removeprefix("torch.")
        found = gaps(source, model, prompts(tokenizer, batch, tokens, asked.seed, device), tokens, rows)
        peak = peak_gib(device)
        for kind, of_kind in found.items():
            estimate = mean_and_error(of_kind["by_sequence"])
            print(f"{numeric:9} {kind:32} {estimate.mean:10.2e} +- {estimate.se:.0e} {of_kind['p99']:9.2e} ", end="")
            print(f"{of_kind['max']:9.2e} {of_kind['ratio_off_by_a_fifth']:18.4f} {of_kind['mean_depth']:6.2f}")
        print(f"{numeric:9} peak memory {gib(peak)}")
        results[numeric] = {"kinds": found, "peak_gib": peak}
        del source, model
    exact, half = (results[numeric]["kinds"] for numeric in ("float32", "bfloat16"))
    replayed, at_cap = KINDS[2:]
    deeper = exact[replayed]["mean_depth"] < CAP  # else replay and cap are the same
    goals = [
        Target("float32: largest gap of replay, nats", exact[replayed]["max"], 1e-3, at_least=False),
        Target("bfloat16: mean gap of replay / of fixed depth", _over(half, replayed, "fixed depth"), 1.1, False),
        Target("bfloat16: mean gap of replay / of the source", _over(half, replayed, "source"), 3.0, False),
        Target("bfloat16: mean gap at the cap / of replay", _over(half, at_cap, replayed) if deeper else 0.0, 2.0),
    ]
    return finish("replay_parity", asked, {"model": name, "cap": CAP, "batch": batch, "results": results}, goals)


def _over(found: dict[str, dict[str, Any]], kind: str, other: str) -> float:
    return found[kind]["mean"] / max(found[other]["mean"], 1e-12)


if __name__ == "__main__":
    sys.exit(run(main, "Lower --batch, --rows or --tokens, or measure a smaller --random-init."))
