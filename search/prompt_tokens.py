"""A request as token ids, and a completion's ids as text: one way for every sampler that has the tokenizer.

The prefix is tokenized by itself: in training, too, a completion begins at a token boundary. A completion is decoded
behind its prefix, as a tokenizer may treat the first token of a text differently (leading spaces).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from search.records import Prompt, Request


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, chat_template_kwargs: Mapping[str, Any] | None = None
) -> list[int]:
    """Token ids of a prompt, as in training: text with the tokenizer's special tokens, a chat through its template.

    Raises:
        ValueError: The prompt has no tokens, or is a chat and the tokenizer has no template, or one that
            refuses it.
    """
    if isinstance(prompt, str):
        ids = list(tokenizer(prompt)["input_ids"])
    else:
        kwargs = dict(chat_template_kwargs or {})
        if not tokenizer.chat_template and not kwargs.get("chat_template"):
            raise ValueError(
                "a prompt is a list of chat messages and the tokenizer has no chat template, expected one: give the "
                "prompt as text, or set tokenizer.chat_template."
            )
        template_options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, **kwargs}
        try:
            ids = list(tokenizer.apply_chat_template(prompt, **template_options)["input_ids"])
        except TemplateError as error:
            raise ValueError(
                f"the tokenizer's chat template refuses these messages ({error}), expected the roles that it knows, in "
                "its order: look at tokenizer.chat_template."
            ) from error
    if not ids:
        raise ValueError("a prompt has no tokens, expected at least one: give the model something to continue.")
    return ids


def request_ids(
    tokenizer: PreTrainedTokenizerBase, request: Request, chat_template_kwargs: Mapping[str, Any] | None = None
) -> tuple[list[int], list[int]]:
    """Token ids of a request's prompt, and those of its prefix; a model reads one after the other.

    Raises:
        ValueError: See :func:`prompt_ids`. A prefix behind an empty text prompt is enough to continue.
    """
    prefix = list(tokenizer(request.prefix, add_special_tokens=False)["input_ids"]) if request.prefix else []
    if request.prompt == "" and prefix:
        return list(tokenizer("")["input_ids"]), prefix
    return prompt_ids(tokenizer, request.prompt, chat_template_kwargs), prefix


def read_completion(
    tokenizer: PreTrainedTokenizerBase, request: Request, prefix_ids: Sequence[int], completion_ids: Sequence[int]
) -> str:
    """Text of a completion, its prefix included, special tokens left out."""
    whole, head = _decode(tokenizer, [*prefix_ids, *completion_ids]), _decode(tokenizer, prefix_ids)
    continuation = whole[len(head) :] if whole.startswith(head) else _decode(tokenizer, completion_ids)
    return request.prefix + continuation


def check_context(num_prompt: int, request: Request, context: int | None) -> None:
    """Refuse a request that does not fit into the model's context of so many tokens; None is no limit.

    Raises:
        ValueError: It does not.
    """
    if context is not None and num_prompt + request.max_new_tokens > context:
        raise ValueError(
            f"a prompt of {num_prompt} tokens and max_new_tokens = {request.max_new_tokens} do not fit together, "
            f"expected at most the model's context of {context}: shorten the prompt, or lower max_new_tokens."
        )


def _decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
