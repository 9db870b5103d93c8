"""HTTP: bodies for a served policy, given to the application itself, and bytes for the server's socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import socket
from collections.abc import Iterator

import httpx
from hypothesis import strategies as st

from search.batching import DynamicBatcher
from search.model_sampler import ModelSampler
from search.samplers import ScriptedSampler
from search.serve import make_app, serving
from tests.fuzz.mutations import AS_TEXT, LONG, garbled, json_text, mutated
from tests.fuzz.target import Target
from tests.fuzz.watching import empty_folder, watched
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from vpo.answers import AnswerFormat

_TOKEN = "a-token-for-the-fuzzing"
_PLAIN = {
    "model": "tiny", "prompt": ["a b", "c"], "prefix": "a", "n": 2, "seed": 5, "max_tokens": 4, "temperature": 0.7,
    "top_p": 0.9, "stop": ["b"], "stream": False, "stream_options": {"include_usage": True}, "user": "x",
    "frequency_penalty": 0, "top_k": -1, "logit_bias": {}, "answers_as_choices": True, "num_answers": 2,
    "ask_for_answers": True,
}  # fmt: skip
_CHAT = {
    "model": "tiny", "messages": [{"role": "system", "content": "a"},
    {"role": "user", "content": [{"type": "text", "text": "b"}]}, {"role": "assistant", "content": "c"}], "n": 1,
    "max_completion_tokens": 4, "continue_final_message": True, "add_generation_prompt": False, "stream": True,
    "response_format": {"type": "text"}, "tools": [], "tool_choice": "none", "chat_template_kwargs": {},
}  # fmt: skip
_HEADERS = {
    "content-type": ["application/json", "application/json; charset=utf-16", "text/plain", "", "application/json\xe9"],
    "authorization": [f"Bearer {_TOKEN}", f"bearer  {_TOKEN}", "Bearer", "Bearer wrong", "Basic x", "\xe9", LONG],
    "host": ["localhost", "127.0.0.1:80", "[::1]", "[::1", "evil.example", "localhost:99999999", "", "a@b", "]"],
}  # fmt: skip


@functools.cache
def _sampler() -> ModelSampler:
    return ModelSampler(tiny_policy(), tiny_tokenizer())


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[str, bytes, dict[str, str]]:
    is_chat = draw(st.booleans())
    document = dict(_CHAT if is_chat else _PLAIN)
    for name in draw(st.sets(st.sampled_from(sorted(document)))) - {"prompt", "messages"}:
        del document[name]
    text = json_text(draw(mutated(document, hostile=[*AS_TEXT, *AS_TEXT])))
    content = draw(garbled(text.encode("utf-8", "surrogatepass"), chance=8))
    path = draw(
        st.sampled_from(["/v1/chat/completions" if is_chat else "/v1/completions"] * 9 + ["/v1/models/%ff%00", "/x"])
    )
    headers = {name: values[0] for name, values in _HEADERS.items()}
    if draw(st.integers(0, 4)) == 0:
        name = draw(st.sampled_from(sorted(_HEADERS)))
        headers[name] = draw(st.sampled_from(_HEADERS[name]))
    return path, content, headers


def _body(given: tuple[str, bytes, dict[str, str]]) -> None:
    path, content, headers = given
    with empty_folder() as folder, watched(folder):
        asyncio.run(_post(path, content, headers))


async def _post(path: str, content: bytes, headers: dict[str, str]) -> None:
    app = make_app(
        DynamicBatcher(_sampler(), wait_s=0.0),
        "tiny",
        token=_TOKEN,
        hosts={"localhost", "127.0.0.1", "::1"},
        default_tokens=4,
        answer_format=AnswerFormat(num_answers=2),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        reply = await client.post(path, content=content, headers=raw)
    assert reply.status_code < 500, (reply.status_code, reply.text[:500])
    if reply.status_code >= 400:
        error = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
        assert len(error["message"]) < 2000, "what was sent comes back in the message, at any length"
    elif reply.headers["content-type"].startswith("text/event-stream"):
        assert reply.text.endswith("data: [DONE]\n\n")
    else:
        assert reply.json()["choices"]


class _Heard(logging.Handler):
    """What the server logs as an error: an exception in the application."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage() + str(record.exc_info or ""))


@functools.cache
def _server() -> tuple[contextlib.ExitStack, str, int, _Heard]:
    """A server for all examples of this process; its thread ends with it."""
    stack = contextlib.ExitStack()
    sampler = DynamicBatcher(ScriptedSampler(lambda prompt, prefix, seed: f"{seed} b c"), wait_s=0.0)
    url = stack.enter_context(serving(sampler, "tiny", token=_TOKEN))
    heard = _Heard()
    logging.getLogger("uvicorn.error").addHandler(heard)
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    return stack, host, int(port), heard


_BODY = json.dumps({"model": "tiny", "prompt": "x", "max_tokens": 3}).encode()
_HEAD = [
    b"POST /v1/completions HTTP/1.1",
    b"Host: localhost",
    b"Content-Type: application/json",
    f"Authorization: Bearer {_TOKEN}".encode(),
    f"Content-Length: {len(_BODY)}".encode(),
    b"Connection: close",
]
_INNER = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LINES = [
    b"Content-Length: 0",
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 0x10",
    b"Content-Length: " + b"9" * 30,
    b"Content-Length: 99999999",
    b"Content-Length : 5",
    b"Content-Length:\t5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: gzip",
    b" folded",
    b"NoColon",
    b": empty",
    b"A\0: b",
    b"X: \xff",
    b"Host: evil.example",
    b"Host: [::1",
    b"Host:",
    b"Expect: 100-continue",
    b"Connection: keep-alive",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"X-Long: " + b"a" * 100_000,
    b"Authorization: Basic x",
    b"Content-Encoding: gzip",
    b"X-Http-Method-Override: DELETE",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Range: bytes=0-",
]
_FIRST = [
    b"GET / HTTP/1.1",
    b"POST /v1/completions HTTP/1.0",
    b"POST /v1/completions HTTP/9.9",
    b"POST /v1/completions",
    b"post /v1/completions HTTP/1.1",
    b"POST  /v1/completions HTTP/1.1",
    b"POST http://evil/v1/completions HTTP/1.1",
    b"POST /v1/../v1/completions HTTP/1.1",
    b"POST /v1/%2e%2e/%00 HTTP/1.1",
    b"POST /" + b"a" * 70_000 + b" HTTP/1.1",
    b"CONNECT x:1 HTTP/1.1",
    b"TRACE / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"HEAD /health HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"",
    b"POST /v1/completions?x=\xff HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01",
    b"GET /v1/models/" + b"%61" * 500 + b" HTTP/1.1",
]
_BODIES = [
    _BODY,
    b"",
    _BODY + _INNER,
    b"5\r\nhello\r\n0\r\n\r\n",
    b"0\r\n\r\n" + _INNER,
    b"fffffffffffffffff\r\n",
    b"-1\r\n\r\n",
    b"5;" + b"x" * 20_000 + b"\r\n",
    b"{" * 10_000,
    b'{"prompt":',
    b"\0" * 5000,
    _INNER * 20,
]


@st.composite
def _bytes(draw: st.DrawFn) -> bytes:
    lines = list(_HEAD)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["first", "add", "add", "replace", "drop"]))
        if how == "first":
            lines[0] = draw(st.sampled_from(_FIRST))
        elif how == "drop" and len(lines) > 1:
            del lines[place]
        elif how == "replace":
            lines[place] = draw(st.sampled_from(_LINES))
        else:
            lines.insert(place + 1, draw(st.sampled_from(_LINES)))
    end = draw(st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"\r\n "]))
    return draw(garbled(end.join(lines) + end * 2 + draw(st.sampled_from(_BODIES)), chance=3))


def _socket(content: bytes) -> None:
    _, host, port, heard = _server()
    heard.messages.clear()
    received = b""
    # OSError: the server may have answered and closed before the other end was
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)  # all that will come; a server must not wait for more
        while piece := connection.recv(65536):
            received += piece
    for status in _statuses(received):
        assert 100 <= status < 500, received[:300]
    if _TOKEN.encode() not in content:
        assert b'"choices"' not in received and b'"owned_by"' not in received, received[:300]
    reply = httpx.get(f"http://{host}:{port}/health", timeout=10)
    assert reply.status_code == 200
    assert not heard.messages, heard.messages[0][:1500]


def _statuses(received: bytes) -> Iterator[int]:
    for line in received.split(b"\r\n"):
        if line.startswith(b"HTTP/1.1 "):
            yield int(line.split()[1])


def _listed() -> list[Target]:
    return [
        Target("http", "bodies", _bodies, _body, quick=80),
        Target("http", "sockets", _bytes, _socket, quick=80),
    ]


TARGETS = _listed()
