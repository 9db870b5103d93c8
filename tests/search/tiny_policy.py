"""A random Llama of a few thousand parameters with a word-level tokenizer and a chat template."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = [*"abcdefghijklmnsu", *[f"<{slash}answer_{i}>" for i in (1, 2) for slash in ("", "/")]]
MESSAGES = "{% for m in messages %}{{ m['role'][0] }} {{ m['content'] }} {% endfor %}"
CHAT = MESSAGES + "{% if add_generation_prompt %}a{% endif %}"


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = word_tokenizer(WORDS)
    tokenizer.chat_template = CHAT
    return tokenizer


def tiny_policy(**options: float) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4 + len(WORDS),
        hidden_size=64,  # two heads of 32, the least that vLLM's attention on a CPU takes
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **options,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        parameter.data.mul_(3.0)  # a random model is nearly uniform; sharper ones show mistakes better
    return model.eval()
