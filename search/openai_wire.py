"""Requests and completions in the words of the OpenAI API: what is sent, and how an answer is read. No connection here.

A text prompt goes to ``/completions``, with its prefix appended. A chat goes to ``/chat/completions``, its prefix as a
last assistant message that the server is told to continue. With a tokenizer both go to ``/completions`` as token ids,
tokenized as in training; this is the exact way, where a server takes ids (vLLM does). Fields:
https://platform.openai.com/docs/api-reference; vLLM's further ones: its "OpenAI-Compatible Server" page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from search.records import Generation, Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Dialect = Literal["vllm", "openai", "vpo"]
"""Whether a server knows vLLM's further fields, or OpenAI's alone, or is one of ours (``vpo serve``)."""

_NEUTRAL = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""What a checkpoint's generation_config.json may set, and vLLM would then apply: a bent distribution."""

_STOPPED = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "function_call"})
_CUT = frozenset({"length", "max_tokens", "content_filter"})


class MalformedAnswerError(Exception):
    """A response is not what it should be, and another attempt may bring a better one."""


class UnusableAnswerError(Exception):
    """A response is not what is needed, and another attempt would bring the same."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How one server is spoken to.

    Attributes:
        model: Name of the model there.
        dialect: See :data:`Dialect`.
        tokenizer: The policy's, to send token ids; None to send text and chats.
        chat_template_kwargs: For the chat template, here or there.
        extra_body: Further fields of every request; they win over ours.
        limit_field: Name of the field with the most tokens to generate.
    """

    model: str
    dialect: Dialect = "vllm"
    tokenizer: PreTrainedTokenizerBase | None = field(default=None, repr=False)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def encode(self, request: Request, seed: int) -> tuple[str, dict[str, Any]]:
        """Path and JSON body for a request.

        Args:
            request: The request.
            seed: What to send as its seed.

        Raises:
            ValueError: It cannot be put into words that the server understands.
        """
        body: dict[str, Any] = {
            "model": self.model,
            self.limit_field: request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": seed,
            "n": 1,
            **(_NEUTRAL if self.dialect == "vllm" else {}),
        }
        if self.tokenizer is not None:
            from search.prompt_tokens import request_ids

            prompt, prefix = request_ids(self.tokenizer, request, self.chat_template_kwargs)
            return "completions", {**body, "prompt": [*prompt, *prefix], **self.extra_body}
        if isinstance(request.prompt, str):
            if self.dialect == "vpo":  # tokenized apart, as in training
                return "completions", {**body, "prompt": request.prompt, "prefix": request.prefix, **self.extra_body}
            return "completions", {**body, "prompt": request.prompt + request.prefix, **self.extra_body}
        body["messages"] = list(request.prompt)
        if self.chat_template_kwargs:
            body["chat_template_kwargs"] = dict(self.chat_template_kwargs)
        if request.prefix:
            if self.dialect == "openai":
                raise ValueError(
                    f"a chat with the prefix {request.prefix[:40]!r} for a server that knows OpenAI's fields only: "
                    "expected no prefix, as that API cannot continue a message. Vary by prompts, or use a server that "
                    "takes continue_final_message (dialect='vllm')."
                )
            body["messages"].append({"role": "assistant", "content": request.prefix})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return "chat/completions", {**body, **self.extra_body}

    def decode(self, request: Request, answer: Any) -> Generation:
        """The generation in a server's answer.

        Args:
            request: What was asked.
            answer: The response's JSON.

        Raises:
            MalformedAnswerError: The answer lacks what every server gives.
            UnusableAnswerError: It lacks token counts, or the server does not keep to the limit of tokens.
        """
        try:
            choice = answer["choices"][0]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            reason = choice["finish_reason"]
        except (KeyError, IndexError, TypeError):
            raise MalformedAnswerError(f"an answer without a choice: {str(answer)[:200]}") from None
        if not isinstance(text, str | None) or reason not in _STOPPED | _CUT:
            raise MalformedAnswerError(f"a choice that ended with {reason!r} and holds {str(text)[:80]!r}")
        prompt_tokens, completion_tokens = self._count(request, answer, text or "", reason)
        if completion_tokens > request.max_new_tokens:
            raise UnusableAnswerError(
                f"the server counted {completion_tokens} generated tokens, expected at most {self.limit_field} = "
                f"{request.max_new_tokens}: it does not keep to the limit. Name the field that it knows (limit_field)."
            )
        return Generation(
            request_id=request.id,
            text=request.prefix + (text or ""),
            prompt_tokens=prompt_tokens,
            completion_tokens=max(1, completion_tokens),  # some do not count the end of an empty completion
            finish_reason="stop" if reason in _STOPPED else "length",
        )

    def _count(self, request: Request, answer: Any, text: str, reason: str) -> tuple[int, int]:
        usage = answer.get("usage") or {}
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(counts[0], int) and isinstance(counts[1], int):
            return counts[0], counts[1]
        if self.tokenizer is None:
            raise UnusableAnswerError(
                "the server's answer has no usage.prompt_tokens and usage.completion_tokens, expected both, as budgets "
                "are kept in tokens: use a server that counts, or give the tokenizer."
            )
        from search.prompt_tokens import request_ids

        prompt, prefix = request_ids(self.tokenizer, request, self.chat_template_kwargs)
        generated = len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) + (reason in _STOPPED)
        return len(prompt) + len(prefix), min(generated, request.max_new_tokens)
