"""`report_to: trackio` with the package itself: metrics and alarms in its files, nothing sent anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("trackio") is None,
    reason="Trackio is not installed: it wants Pillow below 13, constraints.txt has 13. pip install 'vpo[trackio]'",
)
ROOT = Path(__file__).parents[2]
RECIPE = """
model_name_or_path: tiny
task: maze
num_answers: 3
answer_tag: route
ask_for_answers: false
num_generations: 4
per_device_train_batch_size: 8
max_completion_length: 24
max_steps: 3
logging_steps: 1
report_to: trackio
project: mazes
run_name: first
output_dir: out
evaluate: at_end
task_eval_rows: 4
monitor: watch
use_cpu: true
bf16: false
gradient_checkpointing: false
"""
READ = """
import json
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps(SQLiteStorage.get_logs("mazes", "first")))
print(json.dumps(SQLiteStorage.get_alerts("mazes"), default=str))
"""
# No network for the training process: a connection to anything but this machine fails the run.
GUARD = """
import socket
real = socket.socket.connect
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise SystemExit(f"a connection to {address}")
    return real(self, address)
bind = socket.socket.bind
def bound(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise SystemExit(f"listens at {address}")
    return bind(self, address)
socket.socket.connect, socket.socket.bind = connect, bound
"""
ALARM = """
import trackio
from tests.eval.collapse.test_alerts import alarm
from eval.collapse.alerts import make_sinks, send
trackio.init(project="mazes", name="first", resume="allow")
send(make_sinks(["trackio"]), "first", alarm("critical"))
trackio.finish()
"""


def test_metrics_and_alarms_are_in_trackios_files(tmp_path):
    from vpo.tasks import get_task
    from vpo.tasks.tiny_policy import tiny_policy

    policy, tokenizer = tiny_policy(get_task("maze"), num_answers=3, seed=0)
    policy.save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    paths = f"{tmp_path / 'guard'}:{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run("-m", "trainers.vpo", "--config", "r.yaml")
    run("-c", ALARM)
    logs, alerts = map(json.loads, run("-c", READ).splitlines()[-2:])
    names = {name for entry in logs for name in entry}
    wanted = {"train/set/reward", "train/set/answers", "train/loops/mean_depth", "train/generated_tokens"}
    assert wanted <= names
    assert any(name.startswith("train/monitor/") for name in names)
    assert "eval/set/reward" in names, "an evaluation after training is logged as well"
    assert any(name.startswith("train/sampling/") for name in names)
    (alert,) = alerts
    assert alert["level"] == "error" and "first" in alert["title"]
