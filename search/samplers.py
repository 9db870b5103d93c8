"""The sampler protocols, and a scripted sampler for tests and dry runs.

A sampler turns requests into completions and knows nothing else: not the problem, not the budget. The completion must
be a function of (prompt, prefix, seed, sampling settings) and never of the other requests in the call; resume and
equal-budget comparison both rest on that. One that answers batches is a :class:`Sampler`, one that answers requests as
they come a :class:`StreamingSampler`; ``search.batching`` makes the second out of the first.

Both may have methods more: ``describe() -> dict``, which enters the identity of a run, so that a ledger is not resumed
with another model; and ``count_tokens(prompt) -> int``, the tokens that a prompt takes, for budgets that charge them.
What answers batches may have ``check(request)``, which raises at a request that cannot be answered, and
``abort(request_id)``, which ends one that is under way; a batcher and a server use them.

Samplers of Hugging Face models are in ``search.model_sampler``, of vLLM in this process in ``search.vllm_sampler``, of
servers in ``search.openai_sampler``, of a policy in training in ``search.trainer_sampler``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from search.records import Generation, Prompt, Request


class Sampler(Protocol):
    """Draws one completion for each request of a batch."""

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order."""
        ...


class StreamingSampler(Protocol):
    """Draws completions for requests that come and go by themselves.

    Attributes:
        max_concurrency: Most requests that are worth having under way at once.
    """

    max_concurrency: int

    async def generate(self, request: Request) -> Generation:
        """Answer one request. Cancelling the task that awaits it aborts the request."""
        ...


class SamplerError(OSError):
    """A sampler could not get a completion: its engine or server failed, and trying again did not help."""


class ScriptedSampler:
    """A sampler whose completions are computed by a function: deterministic, instant, no model.

    Tokens are words. Output beyond ``max_new_tokens`` words is cut off, as a model's would be.

    Args:
        script: (prompt, prefix, seed) -> the text that follows the prefix. Must be a pure function.
    """

    def __init__(self, script: Callable[[Prompt, str, int], str]) -> None:
        self._script = script

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Run the script on each request."""
        return [self._complete(request) for request in requests]

    def count_tokens(self, prompt: Prompt) -> int:
        """Words of a prompt; of a chat, those of its contents."""
        text = prompt if isinstance(prompt, str) else " ".join(str(message["content"]) for message in prompt)
        return len(text.split())

    def _complete(self, request: Request) -> Generation:
        words = list(re.finditer(r"\S+", self._script(request.prompt, request.prefix, request.seed)))
        kept = words[: request.max_new_tokens]
        text = kept[0].string[: kept[-1].end()] if kept else ""
        # An end-of-sequence token needs room of its own: a script of exactly max_new_tokens words is cut, too
        stopped = len(words) < request.max_new_tokens
        return Generation(
            request_id=request.id,
            text=request.prefix + text,
            prompt_tokens=self.count_tokens(request.prompt) + self.count_tokens(request.prefix),
            completion_tokens=len(kept) + stopped,
            finish_reason="stop" if stopped else "length",
        )
