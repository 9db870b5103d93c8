"""The way into a Ray cluster: one that is there, or one on this machine alone, started for the purpose.

A cluster of Ray's runs whatever it is told, so the one that is started here listens on the loopback interface alone,
has no dashboard, and reports no usage to anybody. A cluster that is there already is taken as it is.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from typing import Any

_REACH_SECONDS = 5.0
_OBJECT_STORE_BYTES = 256 << 20  # Ray would reserve three tenths of the memory; jobs and answers are small
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": addresses of this machine are 127.0.0.1, on Linux too
_FORMS = "expected None for a cluster on this machine alone, 'auto' for one that runs here, or 'host:port'"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or what Ray takes for one.

    Args:
        id: Ray's, in hexadecimal; a machine that comes back has a new one.
        host: Its address.
        cpus: CPUs that Ray may give away there.
    """

    id: str
    host: str
    cpus: int


class Connection:
    """This process as a driver of a Ray cluster.

    Args:
        address: None for a cluster on this machine alone, which ends with :meth:`close`; ``auto`` for one that runs on
            this machine; ``host:port`` of the head of one that this machine is a node of. With None and ``auto`` a
            process that is connected already stays with what it has.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: No cluster answers, or this process is connected to another one.
        ValueError: ``address`` has another form.
    """

    def __init__(self, address: str | None = None) -> None:
        ray = import_ray()
        self._owns = not ray.is_initialized()
        if not self._owns:
            _check_same(ray.get_runtime_context().gcs_address, address)
        elif address is None:
            _start(ray)
        else:
            _attach(ray, address)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here; a connection that was there before stays."""
        if self._owns:
            self._owns = False
            import_ray().shutdown()


def import_ray() -> Any:
    """The module ``ray``.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read by whatever starts a head
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Ray is not installed: expected the extra `ray` on every node. pip install 'vpo[ray]'", name="ray"
        ) from error
    return ray


def alive_nodes() -> dict[str, Node]:
    """The nodes that live now, by id.

    Raises:
        ConnectionError: This process is not connected (any more).
    """
    ray = import_ray()
    if not ray.is_initialized():  # Ray would start a cluster, wherever it likes
        raise ConnectionError("this process has left its Ray cluster: expected a connection. Somebody shut Ray down.")
    return {
        node["NodeID"]: Node(node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)))
        for node in ray.nodes()
        if node["Alive"]
    }


def _start(ray: Any) -> None:
    """Start a cluster of one node on the loopback interface."""
    if not os.environ.keys() & {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # Ray asks for one, and would leave it in the user's home
    before = os.environ.get(_LOOPBACK)
    constants = sys.modules["ray._private.ray_constants"]
    clusters = constants.ENABLE_RAY_CLUSTER  # read when Ray was imported: perhaps earlier
    os.environ[_LOOPBACK] = "0"  # for the processes that Ray starts
    constants.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]
    talk = logging.getLogger("ray._private.authentication.authentication_token_setup")
    level = talk.level
    talk.setLevel(logging.ERROR)  # it warns that there is a token, and how to do without
    try:
        ray.init(
            address="local",  # and not what RAY_ADDRESS names
            _node_ip_address="127.0.0.1",
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level="WARNING",
        )
    finally:
        talk.setLevel(level)
        constants.ENABLE_RAY_CLUSTER = clusters  # type: ignore[attr-defined]
        if before is None:
            del os.environ[_LOOPBACK]
        else:
            os.environ[_LOOPBACK] = before
    hosts = {node.host for node in alive_nodes().values()}
    if hosts != {"127.0.0.1"}:
        ray.shutdown()
        raise ConnectionError(
            f"Ray listens on {', '.join(hosts)}: expected 127.0.0.1 alone. Start a cluster yourself, behind a firewall "
            "(`ray start --head`), and give its address."
        )


def _attach(ray: Any, address: str) -> None:
    if address != "auto":
        place = _split(address)
        try:  # Ray itself tries for two minutes and then ends this process
            socket.create_connection(place, _REACH_SECONDS).close()
        except OSError as error:
            raise ConnectionError(_unreachable(address, error)) from error
    try:
        ray.init(address=address, logging_level="WARNING")
    except (OSError, RuntimeError) as error:
        raise ConnectionError(_unreachable(address, error)) from error


def _check_same(connected: str, address: str | None) -> None:
    if address is None or address == "auto":
        return
    here, there = _split(connected), _split(address)
    if here[1] != there[1] or socket.gethostbyname(here[0]) != socket.gethostbyname(there[0]):
        raise ConnectionError(
            f"this process is connected to the Ray cluster at {connected}: expected that address or None, got "
            f"{address!r}. To change clusters, call ray.shutdown() first."
        )


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"address is {address!r}: {_FORMS}.")
    return host.strip("[]"), int(port)


def _unreachable(address: str, error: Exception) -> str:
    return (
        f"no Ray cluster can be reached at {address!r} ({error}): {_FORMS}. Start one with `ray start --head`, and on "
        "this machine, if it is not the head, `ray start --address=host:port`. "
        "One that was started with a token needs RAY_AUTH_MODE=token and the token of ~/.ray/auth_token here, too."
    )
