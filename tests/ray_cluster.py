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
# What Ray's own code does, not ours, and would end the test that starts a cluster.
RAYS_OWN_WARNINGS = (
    # it starts its processes without waiting for them, and leaves their pipes and log files to the collector
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file .*ray:ResourceWarning"),
)


class RayCluster:
    """Nodes of one CPU each; the first one, to which drivers of this process connect, must live."""

    def __init__(self, cluster: Any, folder: str) -> None:
        self._cluster, self._folder = cluster, folder
        self._more: list[Any] = []

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, num_cpus: int = 1) -> str:
        """Another node; its id."""
        node = self._cluster.add_node(num_cpus=num_cpus, object_store_memory=80 << 20, temp_dir=self._folder)
        self._more.append(node)
        return str(node.node_id)

    def kill_last(self) -> None:
        """Kill all processes of the node that was added last, as when a machine loses power."""
        self._cluster.remove_node(self._more.pop(), allow_graceful=False)

    @property
    def num_added(self) -> int:
        """Nodes beside the first."""
        return len(self._more)


@contextmanager
def ray_cluster(num_nodes: int, first_cpus: int = 1) -> Iterator[RayCluster]:
    """Start a cluster; everything of it is gone afterwards."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vpo[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets lie in it, whose paths must be short
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # nodes run this checkout
    head = {
        "num_cpus": first_cpus,
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
