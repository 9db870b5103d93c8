"""Samples from any server with an OpenAI-compatible API: vLLM, SGLang, ``vpo serve``, or a hosted model.

Many requests at once over one pool of connections; a failed one is sent again after a pause. The server's key is read
from the environment when a connection is made, and is in nothing that this class shows or raises. Repeatable as far as
the server honours seeds; ``search.seed_check`` finds out, and completions that betray a server are warned about.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import httpx

from search.concurrency import gather_or_cancel
from search.connections import ApiKey, Connections, check_url
from search.openai_wire import Dialect, MalformedAnswerError, UnusableAnswerError, Wire
from search.records import Generation, Prompt, Request
from search.request_seeds import SeedNarrower
from search.retry import Backoff, may_pass, retry_after_s
from search.samplers import SamplerError
from search.seed_check import SeedWatch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
_pause = asyncio.sleep


class OpenAISampler:
    """A sampler around ``/v1/completions`` and ``/v1/chat/completions`` of a server. Batches and single requests.

    Connections are kept while any request is under way; ``async with sampler:`` keeps them longer.

    Args:
        base_url: Address of the API, e.g. ``http://127.0.0.1:8000/v1``.
        model: Name of the model there.
        api_key_env: Environment variable with the server's key; None sends no key.
        dialect: "openai" for a server that refuses fields which OpenAI does not have, "vpo" for ``vpo serve``.
        tokenizer: The policy's own: prompts are then sent as token ids, as in training. None sends text and chats.
        chat_template_kwargs: For the chat template, e.g. ``{"enable_thinking": False}``; as in training.
        extra_body: Further fields of every request. It enters the identity of a run: no secrets here.
        seed_bits: Bits of the seeds that the server takes.
        limit_field: The field with the most tokens to generate.
        max_concurrency: Most requests under way.
        timeout_s: Seconds for one attempt.
        backoff: How failed requests are repeated.

    Raises:
        ValueError: The address is none or holds credentials, the key is missing or not a header's text, or a number is
            out of its range.
    """

    count_tokens: Callable[[Prompt], int]
    """Tokens of a prompt; there is no such method without a tokenizer."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str | None = None,
        dialect: Dialect = "vllm",
        tokenizer: PreTrainedTokenizerBase | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        seed_bits: int = 63,
        limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        max_concurrency: int = 64,
        timeout_s: float = 600.0,
        backoff: Backoff | None = None,
    ) -> None:
        check_url(base_url)
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency is {max_concurrency}, expected at least 1: use 64.")
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}, expected seconds above 0: use 600.")
        ApiKey(api_key_env)  # a missing one is found here
        self.max_concurrency = max_concurrency
        self._base_url = base_url.rstrip("/") + "/"
        self._wire = Wire(
            model=model,
            dialect=dialect,
            tokenizer=tokenizer,
            chat_template_kwargs=dict(chat_template_kwargs or {}),
            extra_body=dict(extra_body or {}),
            limit_field=limit_field,
        )
        self._api_key_env = api_key_env
        self._timeout_s = timeout_s
        self._backoff = backoff or Backoff()
        self._seed_bits = seed_bits
        self._narrow = SeedNarrower(seed_bits)
        self._watch = SeedWatch()
        self._jitter = random.Random()  # of waits alone: no completion depends on it
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()
        if tokenizer is not None:
            self.count_tokens = self._count_tokens

    def __repr__(self) -> str:
        """Address and model."""
        return f"OpenAISampler({self._base_url!r}, {self._wire.model!r})"

    def describe(self) -> dict[str, Any]:
        """Which model, and every option that changes its completions; the same model may move to another address."""
        return {
            "name": "openai",
            "model": self._wire.model,
            "dialect": self._wire.dialect,
            "prompts": "text" if self._wire.tokenizer is None else "tokens",
            "chat_template_kwargs": dict(self._wire.chat_template_kwargs),
            "extra_body": dict(self._wire.extra_body),
            "seed_bits": self._seed_bits,
        }

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order, ``max_concurrency`` at a time.

        Raises:
            SamplerError: A request failed for good; the others are then aborted.
            ValueError: A request cannot be sent.
        """
        return _run(self._sample(requests))

    async def generate(self, request: Request) -> Generation:
        """Answer one request. Cancelling closes its connection, by which a server knows that nobody waits any more.

        Raises:
            SamplerError: The request failed for good.
            ValueError: It cannot be sent.
        """
        path, body = self._wire.encode(request, self._narrow(request.seed))  # before any wait: seeds go in order
        async with self:
            pool = self._pools[asyncio.get_running_loop()]
            async with pool.connection() as client:
                generation = await self._attempt(client, pool.key, path, body, request)
        warning = self._watch.see(request, generation)
        if warning:
            logger.warning(f"{self._wire.model} at {self._base_url}: {warning}")
        return generation

    async def __aenter__(self) -> OpenAISampler:
        """Open the connections of this event loop, or share them."""
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools[loop] = Connections(self._base_url, ApiKey(self._api_key_env), self.max_concurrency)
        self._pools[loop].num_users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections, unless they are used elsewhere."""
        loop = asyncio.get_running_loop()
        pool = self._pools[loop]
        pool.num_users -= 1
        if pool.num_users == 0:
            del self._pools[loop]
            await pool.close()

    async def _sample(self, requests: Sequence[Request]) -> list[Generation]:
        async with self:
            return await gather_or_cancel(self.generate(request) for request in requests)

    async def _attempt(
        self, client: httpx.AsyncClient, key: ApiKey, path: str, body: dict[str, Any], request: Request
    ) -> Generation:
        """Send until there is a generation, or no hope of one."""
        attempt = 0
        while True:
            patience = None
            try:
                async with asyncio.timeout(self._timeout_s):
                    response = await client.post(path, json=body)
                if response.status_code == 200:
                    return self._wire.decode(request, _json(response))
                failure = f"HTTP {response.status_code}: {_said(response)}"
                if not may_pass(response.status_code) or "insufficient_quota" in failure:
                    raise self._error(key.hide(failure), "expected a completion: mend the request or the server")
                patience = retry_after_s(response.headers)
            except UnusableAnswerError as error:
                raise SamplerError(f"{self}: {error}") from None
            except MalformedAnswerError as error:
                failure = str(error)
            except TimeoutError:
                failure = f"no answer within {self._timeout_s:g} s"
            except httpx.RequestError as error:
                failure = f"{type(error).__name__}: {error}"
            wait = self._backoff.wait_s(attempt, patience, self._jitter)
            if wait is None:
                asked = f" (it asks to wait {patience:g} s)" if patience else ""
                cure = "expected a completion: look at the server, or be more patient (backoff, timeout_s)"
                raise self._error(f"{key.hide(failure)}{asked}; attempts: {attempt + 1}", cure)
            await _pause(wait)
            attempt += 1

    def _error(self, what: str, cure: str) -> SamplerError:
        return SamplerError(f"{self}: {what}. {cure[0].upper()}{cure[1:]}.")

    def _count_tokens(self, prompt: Prompt) -> int:
        from search.prompt_tokens import prompt_ids

        assert self._wire.tokenizer is not None
        return len(prompt_ids(self._wire.tokenizer, prompt, self._wire.chat_template_kwargs))


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise MalformedAnswerError(f"an answer that is not JSON: {response.text[:200]!r}") from None


def _said(response: httpx.Response) -> str:
    """What a server says of an error."""
    try:
        error = response.json()["error"]
        return f"{error.get('code') or ''} {error['message']}".strip()[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        return response.text[:500]


def _run(work: Coroutine[Any, Any, list[Generation]]) -> list[Generation]:
    """Run to completion: here, or in a thread where an event loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
