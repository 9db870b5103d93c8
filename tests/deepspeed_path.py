"""DeepSpeed for one slow test, in a folder of its own, from the ordinary package index.

It is no dependency of ours: where it can be imported, transformers and TRL load it at every start, which takes seconds.
So it is installed beside the environment, once, and only the processes that a test starts see it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

_WANTED = (
    "deepspeed==0.19.8",
    "hjson==3.1.0",
    "py-cpuinfo==9.0.0",
    "ninja==1.13.2",
    "einops==0.8.2",
    "msgpack==1.2.4",
    "nvidia-ml-py==13.615.71",
)


@pytest.fixture(scope="session")
def deepspeed_path() -> Path:
    """A folder to put on PYTHONPATH; skips where the index cannot be reached."""
    cache = Path(os.environ.get("VPO_TEST_CACHE") or Path.home() / ".cache" / "vpo-tests")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _WANTED[0].replace("==", "-")
    with FileLock(cache / "deepspeed.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                target = Path(scratch) / "installed"
                command = [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                ]
                done = subprocess.run(
                    [*command, "--retries", "1", "--target", str(target), *_WANTED],
                    capture_output=True,
                    text=True,
                    env={**os.environ, "DS_BUILD_OPS": "0"},
                )
                if done.returncode:
                    pytest.skip(f"DeepSpeed cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
                target.rename(folder)
    return folder
