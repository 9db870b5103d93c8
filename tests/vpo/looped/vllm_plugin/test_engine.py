"""Looped policies in real vLLM engines on the CPU, beside one parallel pass of transformers.

Each engine runs in a process of its own (half a minute); the tests look at what it wrote.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.vllm_server import environment
from tests.vpo.looped.vllm_plugin.engine_run import ARMS

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm"),
]
SCRIPT = Path(__file__).with_name("engine_run.py")
ADAPTIVE = [arm for arm in ARMS if arm != "fixed"]
CLOSE = 1e-4  # nats, in fp32


@pytest.fixture(scope="module", params=ARMS)
def run(request, tmp_path_factory) -> tuple[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, str(SCRIPT), request.param, str(folder)]
    env = {**environment(), "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    return request.param, json.loads((folder / "facts.json").read_text())


def test_greedy_completions_are_those_of_transformers(run):
    assert all(theirs == ours for theirs, ours in run[1]["greedy"])


@pytest.mark.parametrize("kind", ["sampled", "several"])
def test_log_probabilities_are_those_of_one_parallel_pass_at_the_recorded_depths(kind, run):
    """Prompts in chunks, read from the prefix cache, and several completions of one prompt included."""
    rows = run[1][kind]
    assert max(row["replayed"] for row in rows) < CLOSE
    assert max(row["at_one_loop"] for row in rows) > 0.1  # another depth is another policy


def test_every_token_gets_the_depth_that_transformers_gives_it(run):
    arm, facts = run
    rows = [row for kind in ("sampled", "several") for row in facts[kind]]
    assert min(row["as_transformers"] for row in rows) == min(row["reasons"] for row in rows) == 1
    assert max(row["residual"] for row in rows) < 1e-5
    depths = {depth for row in rows for depth in row["depths"]}
    assert len(depths) > 1 if arm in ADAPTIVE else depths == {3}
    if arm == "fixed_point":
        assert sum(row["damped"] for row in rows) > 50  # smaller steps are replayed too
    if arm in ADAPTIVE:
        assert max(row["at_the_cap"] for row in rows) > 0.1


def test_new_weights_are_in_use_once_the_prefix_cache_is_emptied(run):
    arm, facts = run
    if arm != "fixed_point":
        pytest.skip("asked of one arm")
    assert max(row["replayed"] for row in facts["other_weights"]) < CLOSE
    assert facts["with_old_depths"] > 0.1  # keys and values of the old weights: the cache was in use
