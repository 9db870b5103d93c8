"""A real Ray cluster of several nodes on this machine, for tests: each node is a few processes that can be killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]


class RayCluster:
    """Nodes of two CPUs each, by Ray's count; the first one, to which this process connects, must live."""

    def __init__(self, cluster: Any, folder: str) -> None:
        self._cluster, self._folder = cluster, folder
        self._more: list[Any] = []

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> str:
        """Another node; its id."""
        node = self._cluster.add_node(num_cpus=2, object_store_memory=80 << 20, temp_dir=self._folder)
        self._more.append(node)
        return str(node.node_id)

    def kill_last(self) -> str:
        """Kill all processes of the node that was added last, as when a machine loses power; its id."""
        node = self._more.pop()
        self._cluster.remove_node(node, allow_graceful=False)
        return str(node.node_id)

    @property
    def num_added(self) -> int:
        """Nodes beside the first."""
        return len(self._more)


@contextmanager
def ray_cluster(num_nodes: int) -> Iterator[RayCluster]:
    """Start a cluster; everything of it is gone afterwards."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vpo[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets lie in it, whose paths must be short
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # nodes run this checkout
    head = {
        "num_cpus": 2,
        "object_store_memory": 80 << 20,
        "temp_dir": folder,
        "include_dashboard": False,
        "include_log_monitor": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    try:
        nodes = RayCluster(cluster, folder)
        for _ in range(num_nodes - 1):
            nodes.add()
        yield nodes
    finally:
        ray.shutdown()
        cluster.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        shutil.rmtree(folder, ignore_errors=True)


def listening(pids: set[int]) -> set[str]:
    """Addresses on which these processes wait for connections."""
    found = set()
    for connection in psutil.net_connections("tcp"):
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN:
            found.add(connection.laddr.ip.removeprefix("::ffff:"))
    return found


def descendants(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}
