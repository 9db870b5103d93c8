"""Where the application listens, and who may talk to it: this machine alone, or whoever has the token."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from search.samplers import StreamingSampler
from search.serve.app import make_app
from vpo.answers import AnswerFormat

TOKEN_VARIABLE = "VPO_SERVE_TOKEN"
"""Environment variable of the token, for ``vpo serve``."""

_SHORTEST_TOKEN = 16


class _BrokenAfterItsHead(logging.Filter):
    """Drops the traceback of a reply to a client that has its reply.

    A request whose head is right and whose body breaks the protocol is with the application already when uvicorn
    answers 400 and closes; the application's own reply then raises in h11, which is no defect and would fill the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "LocalProtocolError" or "event type Response" not in str(error)


_BROKEN = _BrokenAfterItsHead()


def serve(
    sampler: StreamingSampler,
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    default_tokens: int = 512,
    answer_format: AnswerFormat | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        sampler: Answers requests; a batching one is in ``search.batching``.
        model: Name under which it is served.
        host: Address to listen at; anything but a loopback address needs a token.
        port: Port; 0 takes a free one.
        token: What a client must send as its key; None asks for none.
        default_tokens: Limit of generated tokens for clients that set none.
        answer_format: The policy's format of several answers.

    Raises:
        ValueError: The address is open and there is no token, or the token is weak.
        OSError: The address cannot be listened at.
    """
    server, listener = _make_server(sampler, model, host, port, token, default_tokens, answer_format, "info")
    with listener:
        server.run(sockets=[listener])


@contextmanager
def serving(
    sampler: StreamingSampler,
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    default_tokens: int = 512,
    answer_format: AnswerFormat | None = None,
) -> Iterator[str]:
    """Serve in a thread for as long as the context is open; gives the address of the API. Arguments as ``serve``.

    Raises:
        ValueError: See :func:`serve`.
        OSError: The address cannot be listened at, or the server does not start.
    """
    server, listener = _make_server(sampler, model, host, port, token, default_tokens, answer_format, "warning")
    with listener:
        # Connections are taken from here on, and answered once the thread runs: nobody needs to wait for it
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="vpo-serve", daemon=True)
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{shown}:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_access(host: str, token: str | None) -> None:
    """Refuse an address that anybody could use.

    Raises:
        ValueError: The address is open and there is no token, or the token is weak.
    """
    if token is None:
        if not is_loopback(host):
            raise ValueError(
                f"the server would listen at {host} for anybody who can reach it, expected a token there: export "
                f"{TOKEN_VARIABLE}=$(openssl rand -hex 24), or listen at 127.0.0.1."
            )
    elif len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(
            f"the token of {len(token)} characters is weak or cannot be sent, expected at least {_SHORTEST_TOKEN} "
            f"printable ASCII characters without spaces: export {TOKEN_VARIABLE}=$(openssl rand -hex 24)."
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        OSError: The address cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(
            f"{host}:{port} cannot be listened at ({error.strerror}): expected an address of this machine and a free "
            "port. Choose another --port or --host."
        ) from error


def _make_server(
    sampler: StreamingSampler,
    model: str,
    host: str,
    port: int,
    token: str | None,
    default_tokens: int,
    answer_format: AnswerFormat | None,
    log_level: str,
) -> tuple[uvicorn.Server, socket.socket]:
    check_access(host, token)
    app = make_app(
        sampler,
        model,
        token=token,
        hosts={"localhost", "127.0.0.1", "::1", host} if is_loopback(host) else None,
        default_tokens=default_tokens,
        answer_format=answer_format,
    )
    listener = listen(host, port)
    config = uvicorn.Config(app, log_level=log_level, lifespan="off", ws="none", timeout_graceful_shutdown=5)
    logging.getLogger("uvicorn.error").addFilter(
        _BROKEN
    )  # after uvicorn has set up its loggers; the same one again is none
    return uvicorn.Server(config), listener
