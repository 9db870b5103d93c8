"""Two real processes: the main one sees the samples of both, the other keeps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("watched_run.py")


def run(kind: str, folder: Path) -> list[dict[str, Any]]:
    """What each of two processes saw."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(SCRIPT)]
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "PYTHONPATH": root}
    done = subprocess.run([*command, str(folder), kind], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.distributed
@pytest.mark.parametrize(("kind", "a_step"), [("grpo", 128), ("vpo", 256)])
def test_the_main_process_sees_the_samples_of_all(kind, a_step, tmp_path):
    first, second = run(kind, tmp_path)
    assert first["samples"] == [a_step] * 7
    assert first["alarms"][0] in (3, 4)
    assert second == {"samples": [], "alarms": [], "steps": 7}
    assert (tmp_path / "monitor" / "report.html").is_file()


@pytest.mark.distributed
def test_an_alarm_stops_all_processes_at_one_step(tmp_path):
    """One that stopped by itself would leave the other waiting for its gradients."""
    first, second = run("stop", tmp_path)
    assert first["steps"] == second["steps"] == first["alarms"][-1] + 1 < 7
