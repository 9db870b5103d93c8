"""The application: OpenAI's routes around any streaming sampler.

Concurrent requests are left to the sampler to batch. A choice is a function of prompt, seed and settings, never of what
is answered beside it. A client that hangs up has its completions aborted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from search.concurrency import gather_or_cancel
from search.records import Request
from search.request_seeds import choice_seed
from search.samplers import SamplerError, StreamingSampler
from search.serve.errors import ApiError
from search.serve.question import Question, read_question
from search.serve.reply import events, reply
from vpo.answers import AnswerFormat

logger = logging.getLogger(__name__)
_MOST_BYTES = 16 * 2**20  # of a body


def make_app(
    sampler: StreamingSampler,
    model: str,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    default_tokens: int = 512,
    max_waiting: int = 4096,
    body_timeout_s: float = 60.0,
    answer_format: AnswerFormat | None = None,
) -> Starlette:
    """Build the application.

    Args:
        sampler: Answers requests; a batching one is in ``search.batching``.
        model: Name under which it is served.
        token: What a client must send as its key; None asks for none.
        hosts: Names under which the server may be addressed; None allows any. On a loopback address it keeps out web
            pages that point a name of theirs at this machine.
        default_tokens: Limit of generated tokens for clients that set none.
        body_timeout_s: Seconds within which a request's body must have arrived; else it is refused with status 408.
        max_waiting: Most completions under way; beyond it requests are refused with status 429. The default holds 500
            clients with 8 choices each; one that waits costs a few kilobytes.
        answer_format: The policy's format of several answers, for requests with ``answers_as_choices``.
    """
    service = _Service(sampler, model, token, hosts, default_tokens, max_waiting, body_timeout_s, answer_format)
    return Starlette(
        routes=[
            Route("/health", service.health),
            Route("/v1/models", service.models),
            Route("/v1/models/{model:path}", service.models),
            Route("/v1/completions", service.completions, methods=["POST"]),
            Route("/v1/chat/completions", service.chat, methods=["POST"]),
        ],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _any_error},
    )


class _Service:
    def __init__(
        self,
        sampler: StreamingSampler,
        model: str,
        token: str | None,
        hosts: Collection[str] | None,
        default_tokens: int,
        max_waiting: int,
        body_timeout_s: float,
        answer_format: AnswerFormat | None,
    ) -> None:
        self._sampler = sampler
        self._check: Callable[[Request], None] = getattr(sampler, "check", lambda request: None)
        self._model = model
        self._token = token
        self._hosts = hosts
        self._default_tokens = default_tokens
        self._max_waiting = max_waiting
        self._body_timeout_s = body_timeout_s
        self._answer_format = answer_format
        self._num_waiting = 0
        self._ids = itertools.count()
        self._started = int(time.time())

    async def health(self, _: HttpRequest) -> Response:
        return JSONResponse({"status": "ok"})

    async def models(self, http: HttpRequest) -> Response:
        self._admit(http)
        model = {"id": self._model, "object": "model", "created": self._started, "owned_by": "vpo"}
        asked = http.path_params.get("model")
        if asked is None:
            return JSONResponse({"object": "list", "data": [model]})
        if asked != self._model:
            raise ApiError(f"there is no model {asked!r}, expected {self._model!r}.", status=404)
        return JSONResponse(model)

    async def completions(self, http: HttpRequest) -> Response:
        return await self._answer(http, is_chat=False)

    async def chat(self, http: HttpRequest) -> Response:
        return await self._answer(http, is_chat=True)

    async def _answer(self, http: HttpRequest, *, is_chat: bool) -> Response:
        self._admit(http)
        question = read_question(
            await _read_json(http, self._body_timeout_s),
            is_chat=is_chat,
            model=self._model,
            default_tokens=self._default_tokens,
            answer_format=self._answer_format,
        )
        requests = self._requests(question)
        if self._num_waiting and self._num_waiting + len(requests) > self._max_waiting:
            raise ApiError(
                f"{self._num_waiting} completions are under way, expected at most {self._max_waiting}: try again.",
                status=429,
                kind="rate_limit_error",
                code="too_many_requests",
                retry_after_s=1,
            )
        self._num_waiting += len(requests)
        try:
            for request in requests[:: question.num_choices]:
                await asyncio.to_thread(self._check, request)  # reads a prompt of megabytes while others are answered
            work = gather_or_cancel(self._sampler.generate(request) for request in requests)
            generations = await _unless_gone(http, asyncio.ensure_future(work))
        except ValueError as error:
            raise ApiError(str(error)) from error
        except SamplerError as error:
            raise ApiError(str(error), status=502, kind="server_error") from error
        finally:
            self._num_waiting -= len(requests)
        answer = reply(question, requests, generations, self._model)
        if not question.is_streamed:
            return JSONResponse(answer)
        stream = events(answer, is_chat=is_chat, with_usage=question.with_usage)
        return Response(stream, media_type="text/event-stream")

    def _requests(self, question: Question) -> list[Request]:
        seed = secrets.randbits(63) if question.seed is None else question.seed
        wanted = [pair for pair in question.prompts for _ in range(question.num_choices)]
        return [
            Request(
                id=next(self._ids),
                prompt=prompt,
                prefix=prefix,
                seed=choice_seed(seed, index),
                max_new_tokens=question.max_new_tokens,
                temperature=question.temperature,
                top_p=question.top_p,
            )
            for index, (prompt, prefix) in enumerate(wanted)
        ]

    def _admit(self, http: HttpRequest) -> None:
        """Refuse whom the server is not for."""
        host = _hostname(http)
        if self._hosts is not None and host not in self._hosts:
            raise ApiError(
                f"the server was addressed as {host!r}, expected {' or '.join(sorted(self._hosts))}: use "
                "that in the address.",
                status=403,
                code="wrong_host",
            )
        if self._token is None:
            return
        scheme, _, given = http.headers.get("authorization", "").partition(" ")
        is_right = secrets.compare_digest(given.strip().encode(), self._token.encode())  # in constant time
        if scheme.lower() != "bearer" or not is_right:
            raise ApiError(
                "the key is missing or wrong, expected 'Authorization: Bearer' with the server's token: set it as the "
                "API key.",
                status=401,
                kind="authentication_error",
                code="invalid_api_key",
            )


def _hostname(http: HttpRequest) -> str | None:
    try:
        return http.url.hostname
    except ValueError:  # a header that is no address, as [::1 without its end
        return None


async def _read_json(http: HttpRequest, timeout_s: float) -> Any:
    # A web page of another origin can send other types without being asked, but not this one
    if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError("the body is not declared as JSON, expected 'Content-Type: application/json'.", status=415)
    try:
        async with asyncio.timeout(timeout_s):  # a client that sends a byte a minute keeps its place for so long
            body = await _read_body(http)
    except TimeoutError:
        raise ApiError(f"the body was not here after {timeout_s:g} s: send all of it.", status=408) from None
    except ClientDisconnect:
        raise ApiError("the client hung up.", status=499) from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError("the body cannot be read as JSON, expected an object with a model and a prompt.") from None


async def _read_body(http: HttpRequest) -> bytearray:
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise ApiError(f"the body is too long, expected at most {_MOST_BYTES} bytes: shorten it.", status=413)
    return body


async def _unless_gone(http: HttpRequest, work: asyncio.Future[Any]) -> Any:
    """The result of ``work``, which is cancelled if the client hangs up."""
    gone = asyncio.ensure_future(_hung_up(http))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ApiError("the client hung up.", status=499)  # nginx's number; nobody reads it
        return work.result()
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _hung_up(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _api_error(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(http: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{http.method} {http.url.path}: {error.detail}. Expected POST /v1/completions, POST "
    return ApiError(message + "/v1/chat/completions or GET /v1/models.", status=error.status_code).response()


async def _any_error(_: HttpRequest, error: Exception) -> Response:
    # What went wrong is in the server's log, which has the traceback; it is not the client's business
    message = f"the server failed at this request ({type(error).__name__}): see its log."
    return ApiError(message, status=500, kind="server_error").response()
