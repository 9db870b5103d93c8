"""`vpo train`: a recipe on one process, or started on several the way that works on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vpo.cli.saying import say


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
        ValueError: The recipe is no file, or holds a key that is no setting or a value that none can have; or
            ``processes`` is below 1.
    """
    if str(recipe).startswith("-"):
        raise ValueError(
            f"the first word is the option {recipe}: expected the recipe there, and options after it, as `vpo train "
            f"recipe.yaml {recipe}`."
        )
    if not recipe.is_file():
        raise ValueError(f"there is no recipe {recipe}: expected a YAML file.")
    if processes is not None and processes < 1:
        raise ValueError(f"--processes is {processes}: expected 1 or more.")
    import torch

    from trainers.vpo import main, make_parser
    from vpo.yaml_file import read_yaml

    gpus = torch.cuda.device_count()
    words = ["--config", str(recipe), *flags]
    if accelerate_config is not None and not gpus:
        say(f"there is no GPU here: {accelerate_config} is left aside.", flush=True)
        accelerate_config = None
    if accelerate_config is None and (processes or max(gpus, 1)) == 1:
        if gpus > 1:  # TRL refuses a process that sees several and uses one
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
            return subprocess.run([sys.executable, "-m", "trainers.vpo", *words]).returncode
        main(*make_parser().parse_args_and_config(words))
        return 0
    make_parser().check(read_yaml(recipe))  # once, and not once a process
    return subprocess.run(launch_command(processes, gpus, accelerate_config, words)).returncode


def launch_command(processes: int | None, gpus: int, accelerate_config: Path | None, words: Sequence[str]) -> list[str]:
    """The command that starts several processes: accelerate's launcher on GPUs, torchrun on CPUs.

    ``accelerate launch`` starts a single process on CPUs, unless its configuration shards. The number of processes is
    the configuration's own, of all machines together, unless it is given.
    """
    if not gpus:
        count = processes or 1
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
        return [sys.executable, "-m", *launcher, "-m", "trainers.vpo", *words]
    launcher = ["accelerate.commands.launch"]
    if accelerate_config is not None:
        launcher += ["--config_file", str(accelerate_config)]
    if processes is not None or accelerate_config is None:
        launcher += ["--num_processes", str(processes or gpus)]
    return [sys.executable, "-m", *launcher, "-m", "trainers.vpo", *words]
