"""End this process when the one that started it is gone, or a second runner would train beside the first."""

from __future__ import annotations

import os
import time
from threading import Thread


def end_with(runner: int) -> None:
    """Watch a process from now on.

    Args:
        runner: Its id. It need not be the parent: torchrun stands between, and its workers outlive a kill.
    """
    Thread(target=_watch, args=(runner,), daemon=True).start()


def _watch(runner: int) -> None:
    while _is_alive(runner):
        time.sleep(0.5)
    os._exit(1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that has ended and that nobody has waited for is still listed
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
