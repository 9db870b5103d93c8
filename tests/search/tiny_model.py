"""A sampler with a model of random weights, made anew wherever it is called."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from search.model_sampler import ModelSampler


def tiny_model_sampler() -> ModelSampler:
    """What a user's factory does: load a model, here one with random weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<eos>", *"abcdefgh"])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="a")
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
    )
    return ModelSampler(LlamaForCausalLM(config).eval(), tokenizer, batch_size=4)
