"""Started by torchrun in test_processes.py: a few steps on scripted completions, and what every process computed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import LlamaConfig

from trainers import VPOConfig, VPOTrainer
from vpo.looped import LoopedConfig, LoopedForCausalLM
from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = ["go", "red", "blue", "green", *"abcdefgh", *[f"<{s}answer_{i}>" for i in (1, 2) for s in ("", "/")]]
GLOBAL_BATCH, GROUP = 12, 6
ARMS = {
    "vpo": {},
    "multi_rlvr": {"objective": "multi_rlvr", "diversity": "darling", "diversity_options": {"floor": 0.1}},
    "everything": {
        "objective_options": {"coverage": 1.0, "anchor": 0.2},
        "answer_credit": "to_go",
        "weighting_center": "w_star",
        "alpha": "1/d",
    },
    "missing": {"answer_credit": "gain", "objective_options": {"coverage": 1.0}},
}


def length_and_blue(completions, **kwargs):
    return [(len(c.split()) / 5, float("blue" in c)) for c in completions]


def red(completions, **kwargs):
    return [float("red" in c) for c in completions]


def red_for_some(prompts, completions, **kwargs):
    """A component that half of the prompts do not have."""
    return [float("red" in c) if p < "go e" else None for p, c in zip(prompts, completions, strict=True)]


def main(out: Path, arm: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = word_tokenizer(WORDS)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    layers = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=0, eos_token_id=2, **sizes)
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, core_layers=1))

    def scripted(prompts, trainer):
        """Completions that depend on the prompt and on the place in the *global* batch, not on the process."""
        first = trainer.accelerator.process_index * len(prompts)
        rows = []
        for i in range(len(prompts)):
            draw = torch.Generator().manual_seed(1000 * trainer.state.global_step + first + i)
            colours = [("red", "blue", "green")[int(torch.randint(3, (1,), generator=draw))] for _ in range(6)]
            blind = trainer.state.global_step == 0 and first + i < 4  # of 3 processes, the first reads no answer
            if blind or (first + i) % 5 == 4:
                text = " ".join(colours)  # no tags: a parse failure
            else:
                some = " ".join(colours[: 1 + (first + i) % 3])
                text = f"<answer_1> {some} </answer_1> <answer_2> {colours[4]} </answer_2>"
            rows.append([*tokenizer(text)["input_ids"], 2])
        return {
            "prompt_ids": [tokenizer(p)["input_ids"] for p in prompts],
            "completion_ids": rows,
            "logprobs": [[0.0] * len(row) for row in rows],
        }

    args = VPOConfig(
        output_dir=str(out / "run"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_steps=1,
        learning_rate=1e-2,
        per_device_train_batch_size=GLOBAL_BATCH // world,
        num_generations=GROUP,  # with 2 processes a group fits one, with 3 it lies across two
        max_completion_length=16,
        max_steps=4,
        num_answers=2,
        ask_for_answers=False,
        **ARMS[arm],
        reward_weights=[2.0, 1.0],
        seed=7,
        expected_processes=world,
    )
    trainer = VPOTrainer(
        model=model,
        reward_funcs=[length_and_blue, red_for_some if arm == "missing" else red],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [f"go {c}" for c in "abcdefgh"]}),
        processing_class=tokenizer,
        rollout_func=scripted,
    )
    seen = []
    inner = trainer.pay

    def spy(scored, group_size, index=0, logps=None):
        paid = inner(scored, group_size, index, logps)
        facts = {"keys": scored.keys, "rewards": scored.rewards, "mask": scored.mask, "scores": paid.scores}
        seen.append({name: tensor.tolist() for name, tensor in facts.items()})
        return paid

    trainer.pay = spy
    generate = trainer._generate_and_score_completions

    def record(inputs):
        output = generate(inputs)
        advantages = output["advantages"]
        if advantages.ndim == 2:  # by token; processes pad to different lengths
            advantages = (advantages * output["completion_mask"]).sum(dim=1)
        seen[-1]["advantages"] = trainer.accelerator.gather(advantages).tolist()
        return output

    trainer._generate_and_score_completions = record
    trainer.train()
    weights = torch.cat([p.detach().flatten() for p in trainer.accelerator.unwrap_model(trainer.model).parameters()])
    facts = {"steps": seen, "weights": weights.tolist(), "generated": trainer.token_budget.generated}
    (out / f"rank{trainer.accelerator.process_index}.json").write_text(json.dumps(facts))
    trainer.accelerator.end_training()  # else a process may be aborted as it exits


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
