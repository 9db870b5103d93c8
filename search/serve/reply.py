"""What a client gets: choices and token counts in OpenAI's shape, whole or as events.

Further fields of a choice, which other clients skip over: ``seed``, with which the same completion can be had again;
and where answers are choices, ``completion``, ``answer`` (from 1; null if none was found) and ``parsed``.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from search.records import Generation, Request
from search.serve.question import Question


def reply(question: Question, requests: Sequence[Request], generations: Sequence[Generation], model: str) -> Any:
    """The JSON of an answer.

    Args:
        question: What was asked.
        requests: What was sampled: the choices of the first prompt, then those of the next.
        generations: What came back, in order.
        model: Name of the model.
    """
    choices: list[dict[str, Any]] = []
    for number, (request, generation) in enumerate(zip(requests, generations, strict=True)):
        for text, extra in _texts(question, number, request, generation):
            kept, is_cut = _cut(text, question.stop)
            choice = {
                "index": len(choices),
                "finish_reason": "stop" if is_cut else generation.finish_reason,
                "logprobs": None,
                "seed": request.seed,
                **extra,
            }
            choices.append({**choice, **_said(question.is_chat, kept)})
    # A prompt is read once, however many completions it gets
    prompt_tokens = sum(generation.prompt_tokens for generation in generations[:: question.num_choices])
    completion_tokens = sum(generation.completion_tokens for generation in generations)
    return {
        "id": ("chatcmpl-" if question.is_chat else "cmpl-") + uuid.uuid4().hex,
        "object": "chat.completion" if question.is_chat else "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def events(answer: dict[str, Any], *, is_chat: bool, with_usage: bool) -> str:
    """An answer as server-sent events: each choice is one piece, as it is known only when it is whole."""
    head = {**answer, "object": "chat.completion.chunk" if is_chat else "text_completion"}
    usage = head.pop("usage")
    pieces: list[dict[str, Any]] = []
    for choice in answer["choices"]:
        if is_chat:
            message = choice["message"]
            rest = {name: value for name, value in choice.items() if name != "message"}
            pieces.append({**head, "choices": [{**rest, "delta": message, "finish_reason": None}]})
            pieces.append({**head, "choices": [{**rest, "delta": {}}]})
        else:
            pieces.append({**head, "choices": [choice]})
    if with_usage:
        pieces.append({**head, "choices": [], "usage": usage})
    return "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"


def _texts(
    question: Question, number: int, request: Request, generation: Generation
) -> list[tuple[str, dict[str, Any]]]:
    """Texts of a completion that become choices, with the fields that say which they are."""
    if question.answers is None:
        return [(generation.text[len(request.prefix) :], {})]
    answers = question.answers.parse(generation.text).answers
    if not answers:  # as a whole, for a client to see; it must have at least one choice
        return [(generation.text[len(request.prefix) :], {"completion": number, "answer": None, "parsed": False})]
    return [(answer, {"completion": number, "answer": i, "parsed": True}) for i, answer in enumerate(answers, start=1)]


def _said(is_chat: bool, text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}


def _cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there is one."""
    places = [place for each in stop if (place := text.find(each)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
