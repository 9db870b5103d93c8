"""The machine: devices, cores, memory, disk, and whether the launcher starts as many processes as it is asked for."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

from vpo.cli.host.finding import Finding
from vpo.record.surroundings import cores, gpus, memory, processor

_LITTLE_MEMORY_GB = 4.0
_LITTLE_DISK_GB = 10.0
_LAUNCHES_SEVERAL = ("use_deepspeed", "use_fsdp", "use_megatron_lm", "multi_gpu", "tpu")


def machine_findings() -> list[Finding]:
    """What there is to compute with."""
    try:
        import torch
    except ImportError as error:
        devices = [Finding("missing", "devices", f"torch does not load: {error}", "pip install torch")]
        return [*devices, *_room()]
    devices = _devices(torch)
    return [*devices, *_room(), _launcher(torch.cuda.device_count())]


def _devices(torch: Any) -> list[Finding]:
    if torch.cuda.is_available():
        return [_device(torch, index) for index in range(torch.cuda.device_count())]
    seen = gpus()
    if seen:
        names = ", ".join(each["name"] for each in seen)
        why = "this torch is built without CUDA" if torch.version.cuda is None else "torch does not reach it"
        cure = "install a CUDA build of torch, or look at CUDA_VISIBLE_DEVICES and the driver"
        return [Finding("missing", "CUDA", f"the driver knows {names}; {why}", cure)]
    cure = "for small runs: use_cpu: true, bf16: false in the recipe; else a machine with a GPU"
    return [Finding("note", "CUDA", "no device: training and sampling run on the CPU", cure)]


def _device(torch: Any, index: int) -> Finding:
    name = f"CUDA device {index}"
    try:
        free, total = (size / (1 << 30) for size in torch.cuda.mem_get_info(index))
        with torch.cuda.device(index):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    except RuntimeError as error:
        return Finding("missing", name, f"does not answer: {error}", "look at nvidia-smi; another program may hold it")
    found = (
        f"{torch.cuda.get_device_name(index)}, {free:.0f} of {total:.0f} GB free, bf16 {'yes' if has_bf16 else 'no'}"
    )
    return Finding("ok", name, found) if has_bf16 else Finding("note", name, found, "bf16: false, fp16: true")


def _room() -> list[Finding]:
    """Cores, memory and disk."""
    threads = os.environ.get("OMP_NUM_THREADS")
    found = [Finding("ok", "cores", f"{cores()}, {processor()}" + (f"; OMP_NUM_THREADS={threads}" if threads else ""))]
    free, total = memory("MemAvailable"), memory("MemTotal")
    if free is None or total is None:
        found.append(Finding("note", "memory", "this system does not say"))
    else:
        is_little = free < _LITTLE_MEMORY_GB
        cure = "end other programs, or train with fewer processes and smaller batches" if is_little else ""
        found.append(Finding("note" if is_little else "ok", "memory", f"{free:.1f} of {total:.1f} GB free", cure))
    left = shutil.disk_usage(Path.cwd()).free / (1 << 30)
    cure = "save_total_limit: 1, or an output_dir on another disk" if left < _LITTLE_DISK_GB else ""
    found.append(Finding("note" if cure else "ok", "disk", f"{left:.0f} GB free at {Path.cwd()}", cure))
    return found


def _launcher(num_gpus: int) -> Finding:
    name = "accelerate launch"
    several = launches_several()
    if several is None:
        return Finding("note", name, "how many processes it starts could not be found out", "set expected_processes")
    if several:
        return Finding("ok", name, "starts several processes")
    if num_gpus == 1:
        return Finding("ok", name, "one GPU, one process")
    found = "--num_processes 2 starts a single process here, without a word"
    cure = "vpo train --processes 2, or torchrun --nproc_per_node 2; expected_processes: 2 fails instead"
    return Finding("note", name, found, cure)


def launches_several() -> bool | None:
    """Whether ``accelerate launch --num_processes 2``, with its default configuration, starts two processes.

    Asks accelerate's own launcher what it would do. None where it does not answer; what is asked is private.
    """
    words = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "x.py"]
    try:
        from accelerate.commands.launch import _validate_launch_command, launch_command_parser

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            asked = _validate_launch_command(launch_command_parser().parse_args(words))[0]
    except (Exception, SystemExit):  # whatever a private function of another release may raise
        return None
    return any(getattr(asked, each, False) for each in _LAUNCHES_SEVERAL)
