"""Two real processes: the main one sees the samples of both, the other keeps nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("watched_run.py")


@pytest.mark.distributed
@pytest.mark.parametrize(("kind", "a_step"), [("grpo", 128), ("vpo", 256)])
def test_the_main_process_sees_the_samples_of_all(kind, a_step, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(SCRIPT)]
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "PYTHONPATH": root}
    done = subprocess.run([*command, str(tmp_path), kind], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["samples"] == [a_step] * 7
    assert first["alarms"][0] in (3, 4)
    assert second == {"samples": [], "alarms": []}
    assert (tmp_path / "monitor" / "report.html").is_file()
