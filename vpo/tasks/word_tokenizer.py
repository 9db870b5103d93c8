"""A word-level tokenizer for policies small enough to train in minutes."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Tokenizer with one token for each word, split at white space, padded on the left.

    Args:
        words: The whole vocabulary; ``<pad>``, ``<bos>``, ``<eos>`` and ``<unk>`` are put before it.

    Raises:
        ValueError: A word is repeated or holds white space.
    """
    if len(set(words)) != len(words) or any(len(word.split()) != 1 for word in words):
        raise ValueError("expected distinct words without white space: remove repeated or compound ones.")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
