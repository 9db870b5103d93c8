"""`vpo demo` as a newcomer meets it: one command, a kill in the middle, the command again, a page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "import sys; from vpo.cli.app import main; sys.exit(main())", "demo", "--quick"]


def demo(out: Path, *options: str) -> subprocess.CompletedProcess:
    command = [*COMMAND, "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_demo_continues_to_a_page(tmp_path):
    out = tmp_path / "demo"
    process = subprocess.Popen([*COMMAND, "--out", str(out)], stderr=subprocess.DEVNULL, start_new_session=True)
    rollouts = out / "arms" / "VPO" / "rollouts"
    deadline = time.monotonic() + 200
    while not (rollouts.is_dir() and len(list(rollouts.iterdir())) >= 3):  # in the middle of reinforcement learning
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "report.html").exists()
    warm_start = (out / "warm_start" / "done.json").stat().st_mtime_ns

    done = demo(out)
    assert done.returncode == 0, done.stderr
    assert "Continuing the run" in done.stderr
    assert (out / "warm_start" / "done.json").stat().st_mtime_ns == warm_start  # what was done is not done again
    page = (out / "report.html").read_text()
    assert all(word in page for word in ("GRPO", "VPO", "oracle", "blind", "best@", "<svg"))
    report = json.loads((out / "report.json").read_text())
    assert {row["arm"] for row in report["table"]} >= {"base", "GRPO", "VPO", "blind", "oracle"}
    assert set(report["search"]) == {f"{p} / {s}" for p in ("base", "GRPO", "VPO") for s in ("best-of-n", "evolution")}
    assert all(report["looks"][arm] for arm in ("GRPO", "VPO"))
    assert "pool L1" in done.stdout and "report: " in done.stdout

    tokens = [json.loads((out / "arms" / arm / "done.json").read_text())["generated_tokens"] for arm in ("GRPO", "VPO")]
    assert all(8_000 <= count < 8_000 + 4 * 8 * 45 for count in tokens)  # equal budgets, to a step

    other = demo(out, "--seed", "1")
    assert other.returncode == 1
    assert "other settings" in other.stderr and "Traceback" not in other.stderr
