"""A real vLLM server on this machine, for tests of what talks to one."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def environment() -> dict[str, str]:
    """Of processes with a small engine on CPUs."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",
    }


@contextlib.contextmanager
def vllm_server(policy: str | Path, log: Path, *options: str) -> Iterator[str]:
    """Address of a server with the policy in this folder, until the block ends; what it says goes to ``log``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # Not `vllm serve`, which looks for a distribution by the name of vllm.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(policy)]
    command += ["--host", "127.0.0.1", "--port", port, *options]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment(), stdout=out, stderr=out)
    try:
        for _ in range(300):
            assert process.poll() is None, log.read_text()[-5000:]
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
