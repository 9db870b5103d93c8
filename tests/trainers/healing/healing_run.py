"""A healing run under torchrun, for test_healed.py: out.json, batch size of each process."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.update({"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"})

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM

from trainers import HealingConfig, HealingTrainer
from vpo.looped.convert import convert
from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = ["go", "now", "red", "blue", "green", "one", "two"]


def main(out: Path, batch_size: int) -> None:
    tokenizer = word_tokenizer(WORDS)
    rows = [" ".join(WORDS[(i * k) % 7] for k in range(1, 4 + i % 4)) for i in range(16)]
    with tempfile.TemporaryDirectory() as folder:

        def run(**options):
            torch.manual_seed(0)
            sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
            source = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, pad_token_id=0))
            for parameter in source.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.normal_(parameter, std=0.3)
            args = HealingConfig(
                folder,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                disable_tqdm=True,
                save_strategy="no",
                logging_steps=1,
                learning_rate=1e-3,
                per_device_train_batch_size=batch_size,
                max_steps=3,
                max_length=None,
                ddp_backend="gloo",
                **options,
            )
            trainer = HealingTrainer(
                model=convert(source, 1, 2, 1, retention_init=0.5),
                teacher=source,
                args=args,
                train_dataset=Dataset.from_dict({"text": rows}),
                processing_class=tokenizer,
            )
            trainer.train()
            return trainer

        one = run(cap=1, consistency_weight=0.1)
        mixed = run(cap=3, ramp_share=0.0, consistency_weight=0.1, early_weight=0.5)
        history = [entry for entry in one.state.log_history if "loss" in entry]
        facts = {
            "loss": [entry["loss"] for entry in history],
            "depth": [entry["depth"] for entry in history],
            "weights": [float(p.detach().double().sum()) for p in one.model.parameters()],
            "mixed_depths": max(entry["depth"] for entry in mixed.state.log_history if "depth" in entry),
        }
        if one.is_world_process_zero():
            out.write_text(json.dumps(facts))
    PartialState().destroy_process_group()  # else a process may be aborted as it exits


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
