"""A run that is killed in the middle of a step and resumed is the run that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eval.rollouts import read_rollouts

SCRIPT = Path(__file__).with_name("resume_run.py")


def run(folder: Path, num_iterations: int, kill_at: int = -1) -> int:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(folder), str(num_iterations), str(kill_at)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_iterations", "kill_at"),
    [(1, 4), (1, 6), (3, 4)],
    ids=["at the end of an epoch", "in the second epoch", "between updates on the same rollouts"],
)
def test_the_weights_and_rollouts_are_those_of_an_uninterrupted_run(num_iterations, kill_at, tmp_path):
    """An epoch has 4 steps; with three updates a batch, checkpoint 4 lies between the first and the second."""
    assert run(tmp_path / "whole", num_iterations) == 0
    assert run(tmp_path / "killed", num_iterations, kill_at) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.pt").exists()
    assert run(tmp_path / "killed", num_iterations) == 0
    whole, killed = (torch.load(tmp_path / name / "weights.pt") for name in ("whole", "killed"))
    assert torch.equal(whole, killed)
    logs = [list(read_rollouts(tmp_path / name / "rollouts")) for name in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert len(logs[0]) == (7 if num_iterations == 1 else 3)
