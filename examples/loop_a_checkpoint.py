"""A pretrained checkpoint becomes a looped policy that decides for each token how often it loops.

Convert, heal, choose the depth, generate: the steps of docs/looped.md on a model of 0.2 M parameters that has learned
the larger of two digits, "3 or 9 = 9 ;". Its two middle layers become the loop.

    python loop_a_checkpoint.py    # under a minute on one core, in any folder; runs/looped is what it leaves

You should see that the looped model is its source at one loop, that healing takes what was left of the difference at
three loops away, and that some tokens then take fewer loops than others, for an output that is hard to tell from that
of three. It shows how, not what for: this task needs no loop.

With a real model: source = "HuggingFaceTB/SmolLM2-135M-Instruct" and its tokenizer, `convert(source, 11, 8, 11)` or
`vpo convert` with --choose-core, texts of yours, and 1000 steps of healing or more on a GPU, without CPU.
"""

import os
import random

os.environ["TQDM_DISABLE"] = "1"  # before anything draws a progress bar
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, set_seed
from trl import SFTConfig, SFTTrainer

from trainers import HealingConfig, HealingTrainer
from vpo.looped.calibrate import calibrate
from vpo.looped.convert import convert, logit_gap
from vpo.tasks.word_tokenizer import word_tokenizer

CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
QUIET = {"report_to": "none", "save_strategy": "no", "logging_steps": 50, "per_device_train_batch_size": 32, **CPU}


def exercises(draw: random.Random, count: int = 3) -> str:
    pairs = [(draw.randrange(10), draw.randrange(10)) for _ in range(count)]
    return " ".join(f"{a} or {b} = {max(a, b)} ;" for a, b in pairs)


def pretrained(tokenizer, texts: Dataset) -> LlamaForCausalLM:
    """Stands for a checkpoint that is there already."""
    sizes = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4}
    source = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, **sizes))
    args = SFTConfig("runs/source", max_steps=150, learning_rate=3e-3, **QUIET)
    SFTTrainer(source, args, train_dataset=texts, processing_class=tokenizer).train()
    return source.eval()


@torch.no_grad()
def nats(source, model, ids: torch.Tensor, **depth) -> float:
    """Divergence of the looped model's next tokens from its source's, mean over tokens."""
    p, q = source(ids).logits.log_softmax(-1), model(ids, use_cache=False, **depth).logits.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean().item()


if __name__ == "__main__":
    set_seed(0)
    draw = random.Random(0)
    tokenizer = word_tokenizer([*"0123456789", "or", "=", ";"])
    texts = Dataset.from_dict({"text": [exercises(draw) for _ in range(6000)]})
    source = pretrained(tokenizer, texts)
    held_out = tokenizer([exercises(draw) for _ in range(64)], return_tensors="pt").input_ids

    looped = convert(source, 1, 2, 1, retention_init=0.9)  # layers of prelude, core, coda; .9 leaves something to heal
    gap, size = logit_gap(source, looped, num_loops=1)
    print(f"1. convert: at one loop the logits are the source's up to {gap:.0e}, of logits up to {size:.0f}")
    before = nats(source, looped, held_out, num_loops=3)

    args = HealingConfig(
        "runs/healed", cap=3, alpha=0.0, consistency_weight=0.1, max_steps=80, learning_rate=1e-3, **QUIET
    )
    HealingTrainer(looped, source, args, train_dataset=texts, processing_class=tokenizer).train()
    looped.eval()
    after = nats(source, looped, held_out, num_loops=3)
    print(f"2. heal: nats a token from the source at three loops {before:.4f}, now {after:.4f}")

    found = calibrate(looped, [{"input_ids": held_out}], target_kl=0.01, cap=3)
    looped.depth_policy = found.policy  # saved with the model
    chosen = next(row for row in found.curve if row.tol == found.tol)
    print(f"3. choose: {found.policy}: {chosen.mean_depth:.2f} loops a token, {chosen.kl:.4f} nats from three loops")
    looped.save_pretrained("runs/looped"), tokenizer.save_pretrained("runs/looped")

    looped = AutoModelForCausalLM.from_pretrained("runs/looped")  # an ordinary model, once vpo.looped is imported
    ids = tokenizer("3 or 9 = 9 ; 4 or 2 =", return_tensors="pt").input_ids
    out = looped.generate(ids, max_new_tokens=9, do_sample=False, return_dict_in_generate=True)
    depths = out.past_key_values.trace.depth[0].tolist()  # the last token was never fed in, and has none
    print("4. generate:  token " + " ".join(tokenizer.batch_decode(out.sequences[0])))
    print("              loops " + " ".join(map(str, depths)))
