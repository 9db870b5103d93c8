"""Started by test_vllm_sampler.py: what real vLLM engines on the CPU sample, beside what transformers does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from search.model_sampler import ModelSampler
from search.records import Generation, Request
from search.seeds import request_seed
from search.vllm_sampler import VLLMSampler

CHAT = [{"role": "user", "content": "a b"}]
NUM_ALIKE = 400


def plain(generations: list[Generation]) -> list[list[Any]]:
    return [[g.request_id, g.text, g.prompt_tokens, g.completion_tokens, g.finish_reason] for g in generations]


def mixed(temperature: float) -> list[Request]:
    """Text and chat, with and without a prefix, of several lengths."""
    return [
        Request(
            id=i,
            prompt=CHAT if i % 3 == 0 else " ".join("abcdefghijk"[: 1 + i % 11]),
            seed=request_seed(0, "mixed", i),
            max_new_tokens=4 + i % 9,
            prefix="c d" if i % 2 else "",
            temperature=temperature,
        )
        for i in range(24)
    ]


def with_engine(policy: str) -> dict[str, Any]:
    sampler = VLLMSampler.load(policy, enforce_eager=True, max_model_len=64)
    theirs = ModelSampler(AutoModelForCausalLM.from_pretrained(policy), AutoTokenizer.from_pretrained(policy))
    alike = [
        Request(id=i, prompt="a b c", seed=request_seed(0, "alike", i), max_new_tokens=12) for i in range(NUM_ALIKE)
    ]
    closing = theirs._tokenizer.convert_tokens_to_ids("c")
    stopping = VLLMSampler(sampler._llm, stop_token_ids=[closing])
    neighbours = [Request(id=i, prompt="a b c", seed=i, max_new_tokens=12) for i in range(NUM_ALIKE)]
    too_long = ""
    try:
        sampler.sample([Request(id=0, prompt="a " * 60, seed=0, max_new_tokens=10)])
    except ValueError as error:
        too_long = str(error)
    return {
        "describe": sampler.describe(),
        "greedy": plain(sampler.sample(mixed(0.0))),
        "greedy_transformers": plain(theirs.sample(mixed(0.0))),
        "together": plain(sampler.sample(mixed(1.0))),
        "alone": [plain(sampler.sample([request]))[0] for request in mixed(1.0)],
        "backwards": plain(sampler.sample(mixed(1.0)[::-1]))[::-1],
        "alike": plain(sampler.sample(alike)),
        "alike_transformers": plain(theirs.sample(alike)),
        "neighbours": plain(sampler.sample(neighbours)),
        "stopped": plain(stopping.sample(alike)),
        "nothing": plain(sampler.sample([])),
        "tokens": sampler.count_tokens(CHAT),
        "too_long": too_long,
    }


def in_training(policy: str, out: Path) -> dict[str, Any]:
    from datasets import Dataset

    from search.trainer_sampler import SearchDuringTraining
    from trainers import VPOConfig, VPOTrainer

    def count_of_c(completions: list[str], **kwargs: Any) -> list[float]:
        return [float(completion.split().count("c")) for completion in completions]

    def run(searches: bool) -> tuple[VPOTrainer, list[Any]]:
        options = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
        trainer = VPOTrainer(
            model=policy,
            reward_funcs=[count_of_c],
            args=VPOConfig(
                output_dir=str(out),
                use_vllm=True,
                learning_rate=1e-2,
                per_device_train_batch_size=8,
                num_generations=4,
                num_answers=1,
                ask_for_answers=False,
                max_completion_length=8,
                max_steps=4,
                logging_steps=1,
                seed=3,
                gradient_checkpointing=False,
                **options,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["a b", "c d", "e f", "g"]}),
            processing_class=AutoTokenizer.from_pretrained(policy),
        )
        seen: list[Any] = []

        def search(sampler: Any) -> list[Any]:
            step = trainer.state.global_step
            beside = ModelSampler(trainer.model, trainer.processing_class)
            seen.append([step, plain(sampler.sample(mixed(0.0))), plain(beside.sample(mixed(0.0)))])
            seen[-1].append(plain(sampler.sample(mixed(1.0))))
            return []

        if searches:
            trainer.add_callback(SearchDuringTraining(trainer, search, every=2))
        trainer.train()
        return trainer, seen

    is_searched = out.name == "searched"
    trainer, seen = run(is_searched)
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    return {"seen": seen, "weights": weights.tolist(), "eos": trainer.eos_token_ids}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[3])
    facts = with_engine(sys.argv[1]) if sys.argv[2] == "engine" else in_training(sys.argv[1], folder)
    (folder / "facts.json").write_text(json.dumps(facts))
