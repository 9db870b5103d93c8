"""The depth report of a real pretrained model, converted: what it must be at one loop, and within which memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eval.depth import DepthReport
from tests.smollm2 import PretrainedModel, smollm2_fixture  # noqa: F401
from vpo.looped.convert import convert

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@torch.no_grad()
def test_one_loop_has_the_loss_of_the_source_and_memory_stays_below_six_gib(
    smollm2: PretrainedModel,
    tmp_path: Path,
) -> None:
    torch.set_num_threads(1)
    source, tokenizer = smollm2.load()
    looped = convert(source, 12, 8, 10, retention_init=0.1, num_loops=4)
    looped.save_pretrained(tmp_path / "looped")
    tokenizer.save_pretrained(tmp_path / "looped")
    texts = [path.read_text()[:600].strip() for path in sorted((ROOT / "docs").glob("*.md"))]
    (tmp_path / "text.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    words = ["depth", "report", tmp_path / "looped", "--text", tmp_path / "text.jsonl", "--out", tmp_path / "out"]
    words += ["--length", 128, "--max-tokens", 1024, "--tol", 0.05, "--tol", 0.2]
    # A process of its own: the peak of memory is that of a process.
    command = [sys.executable, "-c", "import sys; from vpo.cli.app import main; sys.exit(main(sys.argv[1:]))"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, env=environment, timeout=1500, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    report = DepthReport.from_json((tmp_path / "out" / "report.json").read_text())
    assert report.peak_memory_gib is not None and report.peak_memory_gib < 6
    total = count = 0.0
    room = 1024
    for text in texts:
        ids = tokenizer(text)["input_ids"][: max(room, 0)]
        room -= len(ids)
        for start in range(0, len(ids), 128):
            part = torch.tensor([ids[start : start + 128]])
            if part.shape[1] >= 2:
                total += float(source(part, labels=part).loss) * (part.shape[1] - 1)
                count += part.shape[1] - 1
    assert count == report.num_tokens
    assert report.series["cross_entropy"].mean[0] == pytest.approx(total / count, rel=1e-4)
