"""What a client asks for: the JSON body of a request, checked field by field.

A field that would change the completions and that the policy does not honour is refused, not ignored: a client would
take what comes back for what it asked for. ``null`` is the same as leaving a field out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from search.records import Prompt
from search.serve.errors import ApiError
from vpo.answers import AnswerFormat

_HONOURED = {
    "model", "n", "seed", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream",
    "stream_options", "answers_as_choices", "num_answers", "ask_for_answers",
}  # fmt: skip
_OF_ENDPOINT = {
    "completions": {"prompt", "prefix"},
    "chat": {"messages", "continue_final_message", "add_generation_prompt"},
}
_WITHOUT_EFFECT = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
# Allowed at the values that leave the policy's distribution as it is
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "repetition_penalty": (1,), "top_k": (0, -1), "min_p": (0,),
    "best_of": (1,), "echo": (False,), "logprobs": (False,), "top_logprobs": (0,), "suffix": ("",), "logit_bias": ({},),
    "tools": ([],), "tool_choice": ("none", "auto"), "response_format": ({"type": "text"},),
    "chat_template_kwargs": ({},),
}  # fmt: skip
_MOST_COMPLETIONS = 256


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request that can be answered.

    Attributes:
        is_chat: Whether it came to the chat endpoint, whose answers look different.
        prompts: Prompt and prefix of each.
        num_choices: Completions of each prompt.
        seed: Of the first completion; None if the client does not care.
        max_new_tokens, temperature, top_p: See ``search.Sampling``.
        stop: Strings at which a completion is cut.
        is_streamed: Whether the answer is wanted as events.
        with_usage: Whether token counts are wanted among these.
        answers: The format of the answers that become choices; None if completions do.
    """

    is_chat: bool
    prompts: list[tuple[Prompt, str]]
    num_choices: int
    seed: int | None
    max_new_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    is_streamed: bool
    with_usage: bool
    answers: AnswerFormat | None


def read_question(
    body: Any, *, is_chat: bool, model: str, default_tokens: int, answer_format: AnswerFormat | None
) -> Question:
    """Check a body and read it.

    Args:
        body: Parsed JSON.
        is_chat: Which endpoint it came to.
        model: Name of the one model that there is.
        default_tokens: Limit of generated tokens, if the client sets none.
        answer_format: The policy's, for answers as choices.

    Raises:
        ApiError: Something is wrong with it.
    """
    if not isinstance(body, dict):
        raise ApiError("the body is not an object, expected JSON with a model and a prompt: see the OpenAI API.")
    fields = {name: value for name, value in body.items() if value is not None}
    _check_names(fields, "chat" if is_chat else "completions")
    if fields.get("model", model) != model:
        raise ApiError(
            f"there is no model {fields['model']!r}, expected {model!r}: ask /v1/models.",
            status=404,
            param="model",
            code="model_not_found",
        )
    answers = _answers(fields, answer_format)
    prompts: list[tuple[Prompt, str]] = (
        [_chat(fields)] if is_chat else [(prompt, _prefix(fields)) for prompt in _texts(fields.get("prompt"))]
    )
    if answers is not None and _flag(fields, "ask_for_answers", True):
        try:
            prompts = [(_ask(answers, prompt), prefix) for prompt, prefix in prompts]
        except ValueError as error:
            raise ApiError(str(error), param="messages") from None
    num_choices = _whole(fields, "n", 1, 1, _MOST_COMPLETIONS)
    if num_choices * len(prompts) > _MOST_COMPLETIONS:
        raise ApiError(
            f"{len(prompts)} prompts with n = {num_choices} are too many for one request, expected at most "
            f"{_MOST_COMPLETIONS} completions: send several requests.",
            param="n",
        )
    limit = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    options = fields.get("stream_options", {})
    if not isinstance(options, dict):
        raise ApiError("stream_options is not an object, expected {'include_usage': true}.", param="stream_options")
    return Question(
        is_chat=is_chat,
        prompts=prompts,
        num_choices=num_choices,
        seed=_whole(fields, "seed", None, -(2**63), 2**63 - 1),
        max_new_tokens=_whole(fields, limit, default_tokens, 1, 2**31),
        temperature=_number(fields, "temperature", 1.0, 0.0, 100.0),
        top_p=_number(fields, "top_p", 1.0, 1e-9, 1.0),
        stop=_stop(fields),
        is_streamed=_flag(fields, "stream", False),
        with_usage=_flag(options, "include_usage", False),
        answers=answers,
    )


def _check_names(fields: Mapping[str, Any], endpoint: str) -> None:
    known = _HONOURED | _OF_ENDPOINT[endpoint] | _WITHOUT_EFFECT
    for name, value in fields.items():
        if name in known or (name in _NEUTRAL and value in _NEUTRAL[name]):
            continue
        if name in _NEUTRAL:
            raise ApiError(
                f"{name} is {_shown(value)}, which this server cannot do, expected {_NEUTRAL[name][0]!r}: leave it "
                "out.",
                param=name,
            )
        raise ApiError(f"the field {name!r} is not known here, expected OpenAI's: leave it out.", param=name)


def _texts(prompt: Any) -> list[str]:
    texts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(texts, list) or not texts or not all(map(_is_text, texts)):
        raise ApiError(
            "prompt is neither text nor a list of texts, expected one of these: send text, not token ids.",
            param="prompt",
        )
    return texts


def _prefix(fields: Mapping[str, Any]) -> str:
    prefix = fields.get("prefix", "")
    if not _is_text(prefix):
        raise ApiError("prefix is not text, expected the beginning of the completion.", param="prefix")
    return prefix


def _chat(fields: Mapping[str, Any]) -> tuple[Prompt, str]:
    """The messages, and the beginning of the answer if the last one is to be continued."""
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(
            "messages is not a list with messages, expected [{'role': 'user', 'content': '...'}].", param="messages"
        )
    read = [_message(message, index) for index, message in enumerate(messages)]
    is_continued = _flag(fields, "continue_final_message", False)
    if is_continued == _flag(fields, "add_generation_prompt", not is_continued):
        raise ApiError(
            "continue_final_message and add_generation_prompt must be opposites, expected true and false to continue "
            "the last message: leave both out for a new one.",
            param="continue_final_message",
        )
    if not is_continued:
        return read, ""
    if read[-1]["role"] != "assistant" or len(read) == 1:
        raise ApiError(
            "continue_final_message is set and the last message is not an assistant's after others, expected one to "
            "continue: append it.",
            param="messages",
        )
    return read[:-1], read[-1]["content"]


def _message(message: Any, index: int) -> dict[str, str]:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        content = "".join(part["text"] for part in content)
    if not _is_text(content) or not _is_text(message.get("role")):
        raise ApiError(
            f"message {index} has no role or no text, expected {{'role': 'user', 'content': 'text'}}: send text only.",
            param="messages",
        )
    return {"role": message["role"], "content": content}


def _answers(fields: Mapping[str, Any], answer_format: AnswerFormat | None) -> AnswerFormat | None:
    if not _flag(fields, "answers_as_choices", False):
        return None
    default = answer_format or AnswerFormat()
    wanted = _whole(fields, "num_answers", None if answer_format is None else default.num_answers, 1, 1000)
    if wanted is None:
        raise ApiError(
            "answers_as_choices is set and the number of answers is not known, expected num_answers in the request, or "
            "--answers when the server starts: send num_answers.",
            param="num_answers",
        )
    return AnswerFormat(num_answers=wanted, tag=default.tag)


def _ask(answers: AnswerFormat, prompt: Prompt) -> Prompt:
    if isinstance(prompt, str):  # the two types are told apart for the type checker alone
        return answers.ask(prompt)
    return answers.ask(prompt)


def _stop(fields: Mapping[str, Any]) -> tuple[str, ...]:
    stop = fields.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(_is_text(each) and each for each in stop) or len(stop) > 16:
        raise ApiError("stop is neither a string nor a list of at most 16, none of them empty: mend it.", param="stop")
    return tuple(stop)


def _flag(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise ApiError(f"{name} is {_shown(value)}, expected true or false.", param=name)
    return value


def _whole(fields: Mapping[str, Any], name: str, default: Any, low: int, high: int) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ApiError(f"{name} is {_shown(value)}, expected a whole number from {low} to {high}.", param=name)
    return value


def _number(fields: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = fields.get(name, default)
    # NaN is in no range, and a whole number of a thousand digits is compared without becoming a float
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ApiError(f"{name} is {_shown(value)}, expected a number from {low:g} to {high:g}.", param=name)
    return float(value)


def _is_text(value: Any) -> TypeGuard[str]:
    """Whether it is text that a tokenizer takes: JSON may hold half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    """A value for a message; of what holds others, which may be deep, the kind."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value)[:80]
