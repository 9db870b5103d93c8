"""Worker processes of a benchmark: one thread each, and none outlives the benchmark."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Thread

import torch


def workers(jobs: int) -> ProcessPoolExecutor:
    """A pool of as many processes as there are cores, at most ``jobs``."""
    count = max(1, min(jobs, os.cpu_count() or 1))
    return ProcessPoolExecutor(count, get_context("spawn"), initializer=_start, initargs=(os.getpid(),))


def _start(parent: int) -> None:
    torch.set_num_threads(1)  # more than the cores have is slower by far
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker waits for work forever, and a killed parent gives none: it would go on with what it has."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
