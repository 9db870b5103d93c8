"""What a sampler promises, checked on every completion: the budget rests on it."""

from __future__ import annotations

from collections.abc import Sequence

from search.records import Generation, Request


def check_generation(sampler: object, request: Request, generation: Generation) -> None:
    """Hold one completion to its request.

    Raises:
        ValueError: It answers another request, counts its tokens wrongly, or lacks the prefix.
    """
    name = type(sampler).__name__
    if generation.request_id != request.id:
        raise ValueError(
            f"{name} answered request {generation.request_id}, expected {request.id}: give request_id the id of the "
            "request."
        )
    if not 1 <= generation.completion_tokens <= request.max_new_tokens:
        raise ValueError(
            f"{name} counted {generation.completion_tokens} generated tokens, expected 1 to max_new_tokens = "
            f"{request.max_new_tokens}: count the end-of-sequence token, but not the prefix."
        )
    if generation.prompt_tokens < 0:
        raise ValueError(f"{name} counted {generation.prompt_tokens} prompt tokens, expected 0 at least: count them.")
    if not generation.text.startswith(request.prefix):
        raise ValueError(
            f"{name} gave {generation.text[:40]!r}, expected it to begin with the prefix {request.prefix[:40]!r}: "
            "return the prefix as part of the text."
        )


def check_batch(sampler: object, requests: Sequence[Request], generations: Sequence[Generation]) -> None:
    """Hold a batch of completions to its requests.

    Raises:
        ValueError: There is not one for each, in order; or as `check_generation`.
    """
    ids, expected = [generation.request_id for generation in generations], [request.id for request in requests]
    if ids != expected:
        raise ValueError(
            f"{type(sampler).__name__}.sample answered requests {ids[:5]}... ({len(ids)}), expected {expected[:5]}... "
            f"({len(expected)}): give one generation per request, in order."
        )
    for request, generation in zip(requests, generations, strict=True):
        check_generation(sampler, request, generation)
