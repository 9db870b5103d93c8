"""A server on 127.0.0.1 that answers, or fails, as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def completion(text: str = "so be it", *, chat: bool = False, reason: Any = "stop", tokens: Any = (3, 4)) -> dict:
    said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    usage = {"usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}} if tokens else {}
    return {"choices": [{"index": 0, "finish_reason": reason, **said}], **usage}


class Misbehaving(ThreadingHTTPServer):
    """Answers by ``script``: a list of replies that are used up in turn, or a function of the body.

    A reply is JSON data for status 200, ``(status, body, headers)``, "drop" to close the connection, or "hang" to wait
    until the client does. When the list is used up, completions follow.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: Any = []
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.num_hung_up = 0
        self.most_at_once = 0
        self.barrier: threading.Barrier | None = None
        self.hanging = threading.Semaphore(0)  # released by each request that hangs
        self.hung_up = threading.Semaphore(0)  # released by each of them whose client is gone
        self.lock = threading.Lock()
        self._at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def enter(self, path: str, body: dict[str, Any], key: str | None) -> Any:
        with self.lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.paths.append(path)
            self.bodies.append(body)
            self.keys.append(key)
            if callable(self.script):
                return self.script(body)
            return self.script.pop(0) if self.script else completion(chat="chat" in path)

    def leave(self) -> None:
        with self.lock:
            self._at_once -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Misbehaving

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = self.server.enter(self.path, body, self.headers.get("authorization"))
        try:
            if self.server.barrier is not None:
                self.server.barrier.wait(timeout=30)
            self._reply(reply)
        finally:
            self.server.leave()

    def _reply(self, reply: Any) -> None:
        if reply == "drop":
            self.close_connection = True
            return
        if reply == "hang":
            self.server.hanging.release()
            select.select([self.connection], [], [], 60)  # readable once the client has closed
            self.server.hung_up.release()
            self.close_connection = True
            return
        status, data, headers = reply if isinstance(reply, tuple) else (200, reply, {})
        raw = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def misbehaving() -> Iterator[Misbehaving]:
    server = Misbehaving()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
