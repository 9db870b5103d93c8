"""What the benchmarks for a GPU share: which device, clocks that wait for it, its memory, and how results are written.

They run on an NVIDIA GPU, or with ``--tiny`` a tiny model on the CPU, in well under a minute, which says that a script
works and nothing else: it writes no results.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the other benchmarks' parts lie
import targets
from targets import Target

MODEL = "Qwen/Qwen3-1.7B"


def parser(description: str) -> argparse.ArgumentParser:
    """Command line that all of them have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--device", default="auto", help="auto (the first GPU) or cuda:1, ...; a CPU is refused")
    result.add_argument("--tiny", action="store_true", help="a tiny model on the CPU: does the script run? No results")
    result.add_argument("--seed", type=int, default=0, help="of the weights of --random-init and of all that is drawn")
    return result


def add_model(arguments: argparse.ArgumentParser) -> None:
    """Options of those that measure any model."""
    arguments.add_argument("--model", default=MODEL, help=f"folder or hub id (default {MODEL})")
    arguments.add_argument("--random-init", metavar="SIZE", help="random weights instead: 350M, 1.5B, ...; no download")
    arguments.add_argument("--repeats", type=int, default=5, help="times that everything is measured (default 5)")


def choose_device(options: argparse.Namespace) -> torch.device:
    """The device to measure on; all others are hidden, for transformers' trainer would spread a model over them.

    To be called before anything else asks for CUDA, which reads once what it may see.

    Raises:
        ValueError: It is no GPU that torch can use in bfloat16, and the run is not a tiny one.
    """
    if options.tiny:
        return torch.device("cpu")
    device = torch.device("cuda" if options.device == "auto" else options.device)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible is not None else None
    index = device.index or 0
    if device.type == "cuda" and (names is None or index < len(names)):
        os.environ["CUDA_VISIBLE_DEVICES"] = str(index) if names is None else names[index]
    elif device.type == "cuda":
        raise ValueError(f"--device {options.device}: CUDA_VISIBLE_DEVICES is {visible!r}, which has no such index.")
    if device.type != "cuda" or not torch.cuda.is_available():
        raise ValueError(
            f"--device {options.device}: torch {torch.__version__} finds no such GPU here. Expected an NVIDIA GPU and "
            "a CUDA build of torch: a CPU would measure something else, and --tiny tries the script on one."
        )
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name()
        raise ValueError(f"{name} has no bfloat16, in which all is measured: expected Ampere or newer.")
    return torch.device("cuda", 0)


def seconds(device: torch.device, work: Callable[[], Any]) -> float:
    """Time of ``work``, all of whose kernels have ended: a launch returns before its kernel has."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until every kernel that was launched has ended."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget(device: torch.device) -> None:
    """Give back what nobody holds any more, and begin to watch for the next peak of memory."""
    gc.collect()  # a trainer is full of cycles
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float | None:
    """Most memory that tensors have held since `forget`, in GiB; None on a CPU, which does not count."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None


def gib(value: float | None) -> str:
    """A peak of memory for a table."""
    return "not measured" if value is None else f"{value:.2f} GiB"


def run(main: Callable[[], int], to_lower: str) -> int:
    """The exit status of ``main``; errors of a user are a message, and so is too little memory.

    Args:
        main: The benchmark.
        to_lower: What to do when memory runs out, as a sentence.
    """
    try:
        return main()
    except torch.OutOfMemoryError as error:
        first = str(error).partition(". ")[0]
        print(f"out of GPU memory ({first}). {to_lower}", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 2


def finish(name: str, options: argparse.Namespace, results: dict[str, Any], goals: list[Target]) -> int:
    """Print the targets and write ``results/gpu_NAME.json``; a tiny run writes nothing and ends well."""
    if options.tiny:
        print("\na tiny model on the CPU: the script runs, the figures mean nothing, no results are written")
        for goal in goals:
            print(goal)
        return 0
    return targets.finish(f"gpu_{name}", False, {"gpu": surroundings(), **results}, goals)


def surroundings() -> dict[str, Any]:
    """GPU, driver, CUDA and what else a figure depends on; ``targets.finish`` adds torch, transformers and TRL."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    packages = {}
    for package in ("accelerate", "vllm", "triton", "flash-attn"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "packages": packages,
    }


def _driver() -> str | None:
    """Version of the driver; None where its tool is not there."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else None
