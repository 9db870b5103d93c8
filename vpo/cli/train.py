"""`vpo train`: a recipe on one process, or started on several the way that works on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_train(recipe: Path, flags: Sequence[str], processes: int | None, accelerate_config: Path | None) -> int:
    """Train from a recipe.

    Args:
        recipe: YAML file; see :mod:`trainers.vpo`.
        flags: Options that go before the recipe's, as ``["--learning_rate", "2e-6"]``.
        processes: How many to start; by default one for each GPU, or one.
        accelerate_config: Configuration for ``accelerate launch``; without one, its own default.

    Returns:
        Exit status.

    Raises:
        ValueError: The recipe is no file, or ``processes`` is below 1.
    """
    if not recipe.is_file():
        raise ValueError(f"there is no recipe {recipe}: expected a YAML file.")
    if processes is not None and processes < 1:
        raise ValueError(f"--processes is {processes}: expected 1 or more.")
    import torch

    gpus = torch.cuda.device_count()
    words = ["--config", str(recipe), *flags]
    count = processes or max(gpus, 1)
    if count == 1 and accelerate_config is None:
        from trainers.vpo import main, make_parser

        main(*make_parser().parse_args_and_config(words))
        return 0
    return subprocess.run(launch_command(count, bool(gpus), accelerate_config, words)).returncode


def launch_command(count: int, has_gpu: bool, accelerate_config: Path | None, words: Sequence[str]) -> list[str]:
    """The command that starts ``count`` processes: accelerate's launcher on GPUs, torchrun on CPUs.

    ``accelerate launch`` starts a single process on CPUs, whatever it is asked for.
    """
    if not has_gpu:
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    else:
        launcher = ["accelerate.commands.launch", "--num_processes", str(count)]
        launcher += ["--config_file", str(accelerate_config)] if accelerate_config else []
    return [sys.executable, "-m", *launcher, "-m", "trainers.vpo", *words]
