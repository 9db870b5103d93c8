"""Started by test_engine.py: what real vLLM engines on the CPU make of looped policies, beside transformers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from vpo.looped import ACT, FixedDepth, FixedPoint, LearnedGate, LoopedConfig, LoopedForCausalLM, Replay

VOCABULARY, LONGEST = 61, 96
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "eos_token_id": None,
}
QWEN3 = Qwen3Config(**SIZES, head_dim=32, tie_word_embeddings=True)
ARMS: dict[str, dict[str, Any]] = {
    "fixed_point": {
        "layer_config": LlamaConfig(**SIZES),
        "depth_policy": FixedPoint(tol=0.45, cap=5, patience=1, damping=0.6),
    },
    "gate": {
        "layer_config": QWEN3,
        "depth_policy": LearnedGate(0.4, cap=4),
        "halt_gate": True,
        "cache_planes": 2,
        "scale_control": "norm",
        "injection": "concat",
    },
    "act": {
        "layer_config": Qwen2Config(**SIZES),
        "depth_policy": ACT(cap=4),
        "halt_gate": True,
        "injection": "diagonal",
        "learned_positions": LONGEST,
    },
    "fixed": {
        "layer_config": LlamaConfig(**SIZES),
        "depth_policy": FixedDepth(3),
        "injection": "add",
        "scale_control": "match",
        "prelude_layers": 0,
        "core_layers": 3,
    },
}


def build(arm: str, seed: int = 0) -> LoopedForCausalLM:
    torch.manual_seed(seed)
    options = {"prelude_layers": 1, "core_layers": 2, "coda_layers": 1, **ARMS[arm]}
    model = LoopedForCausalLM(LoopedConfig(**options)).eval()
    for name, parameter in model.named_parameters():  # default init is so small that every loop looks alike
        if "positions" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    return model


def prompts() -> list[list[int]]:
    """Of 1 to 57 tokens: the longest is computed in chunks; three begin alike, for a whole block of the cache."""
    lengths = [1, 9, 20, 33, 57, 40]
    made = [[(7 * i + j * j + 3) % VOCABULARY for j in range(length)] for i, length in enumerate(lengths)]
    return [*made, made[-1], [*made[-1][:38], 5, 6, 7]]


@torch.no_grad()
def compare(model: LoopedForCausalLM, prompt: list[int], completion: Any) -> dict[str, Any]:
    """One completion against one parallel pass of the model."""
    drawn, record = torch.tensor(completion.token_ids), completion.depths
    ids = torch.tensor([[*prompt, *drawn[:-1].tolist()]])
    depth, damping = (torch.tensor(each).long()[None] for each in (record.depth, record.damping))
    said = torch.tensor([next(iter(place.values())).logprob for place in completion.logprobs])

    def gap(policy: Any) -> float:
        logps = model(ids, depth_policy=policy).logits[0, len(prompt) - 1 :].log_softmax(-1)
        return (logps.gather(-1, drawn[:, None]).squeeze(-1) - said).abs().max().item()

    live = model(ids)
    return {
        "replayed": gap(Replay(depth, damping, model.depth_policy)),
        "at_the_cap": gap(FixedDepth(model.depth_policy.cap)),
        "at_one_loop": gap(FixedDepth(1)),
        "depths": record.depth.tolist(),
        "damped": int((record.damping != 0).sum()),
        "as_transformers": (live.loop_depths[0] == depth[0]).float().mean().item(),
        "residual": (live.loop_residuals[0] - torch.tensor(record.residual)).abs().max().item(),
        "reasons": (live.loop_reasons[0] == torch.tensor(record.reason)).float().mean().item(),
    }


def sampled(llm: Any, model: LoopedForCausalLM, **options: Any) -> list[dict[str, Any]]:
    from vllm import SamplingParams

    asked = SamplingParams(**{"temperature": 1.0, "max_tokens": 14, "logprobs": 0, "detokenize": False, **options})
    outputs = llm.generate([{"prompt_token_ids": p} for p in prompts()], asked, use_tqdm=False)
    return [
        compare(model, prompt, completion)
        for prompt, output in zip(prompts(), outputs, strict=True)
        for completion in output.outputs
    ]


def greedy(llm: Any, model: LoopedForCausalLM) -> list[list[list[int]]]:
    """Tokens of vLLM and of transformers.

    One prompt at a time: vLLM 0.31 on CPUs mixes up the tokens of greedy requests of which some are in the middle of
    their prompts, whatever the model.
    """
    from vllm import SamplingParams

    asked = SamplingParams(temperature=0.0, max_tokens=12, detokenize=False)
    outputs = [llm.generate([{"prompt_token_ids": p}], asked, use_tqdm=False)[0] for p in prompts()]
    own = [
        model.generate(torch.tensor([p]), max_new_tokens=12, do_sample=False, pad_token_id=0)[0, len(p) :].tolist()
        for p in prompts()
    ]
    return [[list(output.outputs[0].token_ids), mine] for output, mine in zip(outputs, own, strict=True)]


def main(arm: str, out: Path) -> None:
    from trainers.vllm_sampling import keep_weights_loadable
    from vpo.looped.vllm_plugin import LoopedLLM

    keep_weights_loadable()
    torch.set_num_threads(1)
    model = build(arm)
    model.save_pretrained(out / "policy")
    llm = LoopedLLM(
        str(out / "policy"),
        skip_tokenizer_init=True,
        dtype="float32",
        max_model_len=LONGEST,
        max_num_batched_tokens=48,
        block_size=32,
        logprobs_mode="processed_logprobs",
    )
    facts: dict[str, Any] = {
        "policy": str(model.depth_policy),
        "greedy": greedy(llm, model),
        "sampled": sampled(llm, model),
        "several": sampled(llm, model, n=2, max_tokens=6),
    }
    if arm == "fixed_point":
        other = build(arm, seed=1)  # as a trainer hands over new weights: one by one, by the names of the checkpoint
        for name, parameter in other.named_parameters():
            llm.collective_rpc(_load, args=(name, parameter.data))
        facts["with_old_depths"] = max(each["replayed"] for each in sampled(llm, other))
        llm.reset_prefix_cache()
        facts["other_weights"] = sampled(llm, other)
    (out / "facts.json").write_text(json.dumps(facts))


def _load(worker: Any, name: str, weight: torch.Tensor) -> None:
    worker.model_runner.get_model().load_weights([(name, weight)])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
