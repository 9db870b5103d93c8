"""Started by torchrun in test_processes.py: a watched run, and what its monitor counted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from eval.collapse import CollapseMonitor
from eval.facets import default_facets
from tests.eval.collapse.scripted import make
from trainers import VPOConfig, VPOTrainer


def main(folder: Path, kind: str) -> None:
    torch.set_num_threads(1)
    world = int(os.environ["WORLD_SIZE"])
    on_alarm: Any = "stop" if kind == "stop" else None
    kind = "grpo" if kind == "stop" else kind
    classes = {"grpo": (GRPOTrainer, GRPOConfig, {}), "vpo": (VPOTrainer, VPOConfig, {"ask_for_answers": False})}
    trainer_class, config_class, options = classes[kind]
    if kind == "vpo":
        options = {**options, "num_answers": 2}
    trainer = make(trainer_class, config_class, folder, per_device_train_batch_size=128 // world, **options)
    callback = CollapseMonitor(trainer, facets=default_facets("format"), strict=True, on_alarm=on_alarm)
    trainer.add_callback(callback)
    trainer.train()
    rank = trainer.accelerator.process_index
    found = {
        "samples": [look.num_samples for look in callback.monitor.looks],
        "steps": trainer.state.global_step,
        "alarms": [alarm.step for alarm in callback.monitor.alarms],
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(found))
    trainer.accelerator.end_training()  # else a process may be aborted as it exits


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
