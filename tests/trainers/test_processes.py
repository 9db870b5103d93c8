"""Several real processes (gloo, started by torchrun) compute what one process computes on the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("scored_run.py")


def run(folder: Path, processes: int, arm: str) -> list[dict]:
    folder.mkdir()
    command = [sys.executable, str(SCRIPT), str(folder), arm]
    if processes > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command = [*launcher, str(SCRIPT), str(folder), arm]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(processes)]


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    arms = ("vpo", "multi_rlvr", "everything", "missing")
    return {name: run(tmp_path_factory.mktemp(name) / "run", 1, name)[0] for name in arms}


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("processes", "arm"),
    [(2, "vpo"), (3, "vpo"), (3, "multi_rlvr"), (2, "everything"), (3, "everything"), (3, "missing")],
)
def test_processes_agree_with_one_process(processes, arm, single, tmp_path):
    """Weightings (through the scores), rewards, advantages and, after four steps, the weights of the policy.

    With three processes a group lies across two of them, and the first reads no answer at the first step: it learns
    from the others how many components there are, without which its w* would be another.
    """
    alone = single[arm]
    together = run(tmp_path / "run", processes, arm)
    for facts in together:
        assert facts["generated"] == alone["generated"]
        assert len(facts["steps"]) == len(alone["steps"]) == 4
        for mine, reference in zip(facts["steps"], alone["steps"], strict=True):
            assert mine["keys"] == reference["keys"]
            assert mine["mask"] == reference["mask"]
            assert mine["rewards"] == reference["rewards"]
            assert mine["scores"] == reference["scores"]  # to the last bit: the same weightings
            assert mine["advantages"] == reference["advantages"]
        assert np.allclose(facts["weights"], alone["weights"], atol=1e-5)
    files = sorted(p.name for p in (tmp_path / "run" / "run" / "rollouts").iterdir())
    assert files == [f"rank{r:04d}-step{s:08d}.parquet" for r in range(processes) for s in range(4)]


def test_the_scores_are_worth_comparing(single):
    for alone in single.values():
        assert all(np.std(step["scores"]) > 0 for step in alone["steps"])
        assert not any(any(row) for row in alone["steps"][0]["mask"][:4])
        assert any(any(row) for row in alone["steps"][0]["mask"][4:])
