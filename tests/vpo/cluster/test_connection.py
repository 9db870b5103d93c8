"""Into a cluster and out of it, and what is said where that cannot be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vpo.cluster.connection import Connection, import_ray

ROOT = Path(__file__).resolve().parents[3]
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'vpo[ray]'")

ALONE = """
import os
import ray  # before us, as a user's program may
from tests.ray_cluster import descendants, listening
from vpo.cluster.connection import Connection, alive_nodes
from ray._common.usage.usage_lib import usage_stats_enabled
connection = Connection()
(node,) = alive_nodes().values()
theirs = descendants(os.getpid())
print(node.host, sorted(listening(theirs | {os.getpid()})), len(theirs) > 4, usage_stats_enabled())
print("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" in os.environ, os.environ["RAY_ADDRESS"])
connection.close()
print(ray.is_initialized(), sorted(os.listdir(os.environ["HOME"])))
"""


@pytest.mark.distributed
def test_a_cluster_of_our_own_is_on_loopback_without_telemetry_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "192.0.2.1:6379"}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["127.0.0.1 ['127.0.0.1'] True False", "False 192.0.2.1:6379", "False []"]
    assert "RAY_AUTH_MODE" not in done.stderr  # Ray's advice to do without a token


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"Ray is not installed: .* pip install 'vpo\[ray\]'"):
        import_ray()


def test_an_address_where_nobody_answers_is_an_error_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        ConnectionError, match=rf"no Ray cluster can be reached at '127.0.0.1:{port}' .*ray start.*RAY_AUTH_MODE"
    ):
        Connection(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:", ":6379", "head:port", "head:99999", ""])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"expected None for .*, 'auto' for .*, or 'host:port'"):
        Connection(address)
