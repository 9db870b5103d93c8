"""The code of docs/vllm.md that samples a looped policy, in an engine as vLLM makes one: a process of its own."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.vllm_server import environment
from vpo.looped import FixedPoint
from vpo.tasks import get_task
from vpo.tasks.tiny_policy import tiny_policy

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm"),
]
END = """

if __name__ == "__main__":
    import json
    ((tokens, depths),) = sample("policy", [[5, 6, 7]])
    print("found", json.dumps([list(tokens), depths.tolist()]))
"""


def test_every_token_that_was_fed_in_has_a_depth(tmp_path: Path) -> None:
    (source,) = [
        each
        for each in re.findall(r"```python\n(.*?)```", (ROOT / "docs/vllm.md").read_text(), re.DOTALL)
        if "def sample" in each
    ]
    policy, tokenizer = tiny_policy(get_task("maze"), num_answers=3, seed=0)
    policy.depth_policy = FixedPoint(tol=0.1, cap=4)
    policy.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    (tmp_path / "guide.py").write_text(source + END)
    done = subprocess.run(
        [sys.executable, "guide.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-5000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    tokens, depths = json.loads(line.removeprefix("found "))
    assert len(depths) == 3 + len(tokens) - 1 and all(1 <= depth <= 4 for depth in depths)
