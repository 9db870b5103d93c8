"""Requests that want to do harm, or come from a broken client: refused in OpenAI's words, with a quiet log."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from search.batching import DynamicBatcher
from search.model_sampler import ModelSampler
from search.samplers import ScriptedSampler
from search.serve import make_app, serving
from tests.search.serve.asking import script
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer

HEADERS = {"content-type": "application/json"}
DEEP = '{"prompt": "a", "%s": ' + "[" * 900 + "]" * 900 + "}"


@pytest.fixture(scope="module")
def model_url():
    with serving(DynamicBatcher(ModelSampler(tiny_policy(), tiny_tokenizer())), "tiny", default_tokens=4) as url:
        yield url


def refusal(url, content, path="completions", status=400, **headers):
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    reply = httpx.post(f"{url}/{path}", content=content, headers={**HEADERS, **headers}, timeout=60)
    assert reply.status_code == status, (reply.status_code, reply.text)
    return reply.json()["error"]


@pytest.mark.parametrize(
    "name", ["temperature", "top_p", "n", "seed", "max_tokens", "prompt", "stop", "stream", "tools"]
)
@pytest.mark.parametrize("value", ["9" * 4000, "-" + "9" * 400, "1e999", "NaN", "-Infinity", '{"a": [1]}'])
def test_a_value_beyond_all_ranges_is_refused_by_its_name(url, name, value):
    error = refusal(url, f'{{"prompt": "a", "{name}": {value}}}')
    assert error["param"] == name and len(error["message"]) <= 1000


@pytest.mark.parametrize("name", ["temperature", "n", "stream", "prompt", "logit_bias", "tools", "x"])
def test_a_value_that_is_nested_as_deeply_as_json_allows_is_refused(url, name):
    assert refusal(url, DEEP % name)["param"] == name


@pytest.mark.parametrize("field", ["prompt", "prefix", "stop", "model"])
def test_half_of_a_surrogate_pair_is_refused_and_not_an_error_of_the_server(model_url, field):
    body = json.dumps({"prompt": "a", "model": "tiny", field: "a\ud800b"})
    assert refusal(model_url, body, status=404 if field == "model" else 400)["param"] == field
    messages = [{"role": "user", "content": "a\udc00"}]
    assert refusal(model_url, {"messages": messages}, "chat/completions")["param"] == "messages"


def test_the_name_of_a_field_comes_back_in_utf8_and_at_no_great_length(url):
    error = refusal(url, '{"prompt": "a", "\\ud800": 1}')
    assert error["param"] == "\\ud800"
    error = refusal(url, {"prompt": "a", "x" * 100_000: 1})
    assert len(error["message"]) <= 1000 and len(error["param"]) <= 1000


def test_messages_that_the_chat_template_refuses_are_the_clients_mistake():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with serving(DynamicBatcher(ModelSampler(tiny_policy(), tokenizer)), "tiny") as url:
        error = refusal(url, {"messages": [{"role": "user", "content": "a"}]}, "chat/completions")
    assert "roles must alternate" in error["message"]


@pytest.mark.parametrize("host", ["[::1", "]", "a@b:c", "evil.example", "", "localhost:99999999"])
def test_a_host_header_that_is_no_address_is_no_error_of_the_server(host):
    """Starlette takes the server's own address in place of one that is none; another one that is, is refused."""

    async def main():
        app = make_app(DynamicBatcher(ScriptedSampler(script)), "m", hosts={"localhost"})
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/v1/models", headers=[(b"host", host.encode())])

    assert asyncio.run(main()).status_code in ((403,) if host == "evil.example" else (200, 403))


def send(url, content, then_close=True):
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    lines = ["POST /v1/completions HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Content-Length: 100"]
    head = "\r\n".join([*lines, "", ""])
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(head.encode() + content)
    if then_close:
        connection.close()
    return connection


def test_a_client_that_goes_in_the_middle_of_its_body_leaves_no_error_in_the_log(url, caplog):
    logging.getLogger("uvicorn.error").propagate = True
    with caplog.at_level(logging.ERROR, logger="uvicorn.error"):
        for _ in range(5):
            send(url, b'{"prompt": ')
        assert httpx.get(url.removesuffix("/v1") + "/health").status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_body_that_breaks_the_protocol_is_answered_once_and_leaves_no_error_in_the_log(url, caplog):
    """Its head is with the application already when the parser refuses the rest."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    head = "TRACE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 49\r\nTransfer-Encoding: chunked\r\n\r\n"
    logging.getLogger("uvicorn.error").propagate = True
    with caplog.at_level(logging.ERROR, logger="uvicorn.error"):
        for _ in range(5):
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(head.encode() + b'{"prompt": "x"}GET /v1/models HTTP/1.1\r\n\r\n')
                received = b"".join(iter(lambda: connection.recv(65536), b""))
            assert received.count(b"HTTP/1.1 ") == 1 and received.startswith(b"HTTP/1.1 400 ")
        assert httpx.get(url.removesuffix("/v1") + "/health").status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_only_that_one_exception_is_kept_out_of_the_log():
    from search.serve.server import _BROKEN

    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 1, "Exception in ASGI application", None, None)
    assert _BROKEN.filter(record)
    local = type("LocalProtocolError", (Exception,), {})
    for error, stays in (
        (ValueError("can't handle event type Response"), True),
        (local("Too much data for declared Content-Length"), True),
        (local("can't handle event type Response when role=SERVER and state=MUST_CLOSE"), False),
    ):
        record.exc_info = (type(error), error, None)
        assert _BROKEN.filter(record) is stays


def test_a_body_that_does_not_come_is_not_waited_for_without_end():
    """A byte a minute would hold a connection, and what was read, for ever."""

    async def main():
        app = make_app(DynamicBatcher(ScriptedSampler(script)), "m", body_timeout_s=0.05)

        async def body():
            yield b'{"prompt": '
            await asyncio.sleep(30)

        messages = []

        async def receive():
            if not messages:
                messages.append(None)
                return {"type": "http.request", "body": b"{", "more_body": True}
            await asyncio.sleep(30)

        sent = []

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": headers, "query_string": b"",
                 "scheme": "http", "server": ("localhost", 80), "http_version": "1.1", "root_path": ""}  # fmt: skip
        await asyncio.wait_for(app(scope, receive, send), timeout=10)
        return sent

    sent = asyncio.run(main())
    assert sent[0]["status"] == 408 and b"all of it" in sent[1]["body"]


def test_a_prompt_that_takes_long_to_read_keeps_nobody_else_waiting():
    class Reading(DynamicBatcher):
        def check(self, request):
            began.set()
            assert go_on.wait(30)

    began, go_on = threading.Event(), threading.Event()
    with serving(Reading(ScriptedSampler(script)), "m") as url, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/completions", json={"prompt": "a"}, timeout=60)
        assert began.wait(30)
        assert httpx.get(url.removesuffix("/v1") + "/health", timeout=20).status_code == 200
        assert not answer.done()
        go_on.set()
        assert answer.result().status_code == 200
