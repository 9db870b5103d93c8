"""A run ends with the process that started it, also where that one is not its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCHER = """
import sys, time
from trainers.end_with import end_with
end_with(int(sys.argv[1]))
print("on")
time.sleep(60)
"""


def start(*command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, "-c", *command], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("waited_for", [True, False])  # an ended process that nobody waits for is still listed
def test_a_process_ends_when_the_one_it_watches_is_killed(waited_for):
    runner = start("import time; time.sleep(60)")
    watcher = start(WATCHER, str(runner.pid))
    assert watcher.stdout is not None and watcher.stdout.readline() == "on\n"
    with pytest.raises(subprocess.TimeoutExpired):
        watcher.wait(timeout=1.5)  # as long as the other lives, it goes on
    runner.kill()
    if waited_for:
        runner.wait()
    assert watcher.wait(timeout=20) == 1
    runner.wait()
    for process in (runner, watcher):
        process.stdout.close()
