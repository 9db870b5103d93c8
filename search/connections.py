"""Connections to one server, and the key that goes over them.

One ``httpx.AsyncClient`` a connection, taken from a stack. A single client with a pool of n connections looks at all
pairs of idle ones with every request (httpcore 1.0): at 64 that made 90 requests a second, this way 700.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager

import httpx

_CONNECT_S = 30.0


class ApiKey(httpx.Auth):
    """The server's key: sent with every request, shown nowhere.

    Args:
        variable: Environment variable that holds it; None for no key.

    Raises:
        ValueError: The variable is empty, or holds what no header may.
    """

    def __init__(self, variable: str | None) -> None:
        key = os.environ.get(variable, "").strip() if variable else None
        if key == "":
            raise ValueError(
                f"the environment variable {variable} is empty or not set, expected the server's key: export it, or "
                "leave api_key_env out for a server without keys."
            )
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError(
                f"the environment variable {variable} holds characters that no header may have, expected a key of "
                "printable ASCII: set it again."
            )
        self._value = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the key to a request."""
        if self._value is not None:
            request.headers["Authorization"] = f"Bearer {self._value}"
        yield request

    def hide(self, text: str) -> str:
        """The text without the key: a server may repeat it in its errors."""
        return text.replace(self._value, "***") if self._value else text


class Connections:
    """Up to so many connections, opened when they are first needed. For one event loop.

    Args:
        base_url: Address of the API.
        key: Its key.
        limit: Most connections.

    Attributes:
        key: As given.
        num_users: Counted by whom they are for.
    """

    def __init__(self, base_url: str, key: ApiKey, limit: int) -> None:
        self.key = key
        self.num_users = 0
        self._base_url = base_url
        self._slots = asyncio.Semaphore(limit)
        # Reading the certificates takes longer than all else, so once
        self._verify = httpx.create_ssl_context() if base_url.startswith("https") else False
        self._idle: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[httpx.AsyncClient]:
        """Wait for a free connection and have it alone; the one that was used last, which is the likeliest to live."""
        async with self._slots:
            client = self._idle.pop() if self._idle else self._open()
            try:
                yield client
            finally:
                self._idle.append(client)

    async def close(self) -> None:
        """Close all connections; none may be in use."""
        while self._idle:
            await self._idle.pop().aclose()

    def _open(self) -> httpx.AsyncClient:
        # An answer's time is kept by the caller: httpx counts from byte to byte, so that a trickle would never end
        timeout = httpx.Timeout(None, connect=_CONNECT_S)
        limits = httpx.Limits(max_connections=1)
        return httpx.AsyncClient(
            base_url=self._base_url, auth=self.key, timeout=timeout, limits=limits, verify=self._verify
        )


def check_url(base_url: str) -> None:
    """Refuse an address that is none, or that holds more than an address.

    Raises:
        ValueError: It does.
    """
    try:
        url = httpx.URL(base_url)
        is_address = url.scheme in ("http", "https") and bool(url.host)
        is_bare = not (url.userinfo or url.query or url.fragment)
    except (httpx.InvalidURL, TypeError):
        is_address, is_bare = False, True
    if not is_bare:  # not shown: it may be a secret
        raise ValueError(
            "base_url holds credentials, a query or a fragment, expected scheme, host, port and path alone: put the "
            "key into the environment, and name its variable in api_key_env."
        )
    if not is_address:
        raise ValueError(f"base_url is {base_url!r}, expected an address such as http://127.0.0.1:8000/v1.")
