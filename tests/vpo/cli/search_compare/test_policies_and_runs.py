"""Policies by their content, and searches that spend alike and go on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search.ledger import read_ledger, read_results
from tests.checkout import ROOT
from tests.vpo.cli.toy_searches import toy_config, use_toys
from vpo.cli.search_compare.command import compare_searches
from vpo.cli.search_compare.config import Policy
from vpo.cli.search_compare.policies import LazySampler, fingerprint, open_policy
from vpo.cli.search_compare.runs import plan, problems_of


def test_a_task_gives_as_many_problems_as_were_asked_for_in_each_policys_wording(tmp_path):
    config = toy_config(tmp_path, problems={"name": "maze", "count": 3})
    single, sets = (problems_of(config, policy) for policy in config.policies)
    assert [p.num_answers for p in single] == [1] * 3
    assert [p.num_answers for p in sets] == [3] * 3
    assert [str(p.prompt).split("budget")[0] for p in single] == [str(p.prompt).split("budget")[0] for p in sets]


def test_a_model_is_known_by_its_content_not_by_its_place_or_date(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"\0" * 200_000 + b"end")
        (folder / "training_args.bin").write_text(str(folder))
    os.utime(other / "config.json", (0, 0))
    assert fingerprint(one) == fingerprint(other)
    (other / "model.safetensors").write_bytes(b"\0" * 200_000 + b"END")
    assert fingerprint(one) != fingerprint(other)
    sampler = open_policy(Policy("p", str(one)), 0, 8)
    assert sampler.describe() == {"name": "model", "files": fingerprint(one)}


def test_a_model_is_loaded_once_and_only_when_it_is_asked():
    made = []

    class Echo:
        def sample(self, requests):
            return list(requests)

    def make():
        made.append(1)
        return Echo()

    sampler = LazySampler({"name": "m"}, make)
    assert sampler.describe() == {"name": "m"}
    assert not made
    assert sampler.sample([1]) == [1] and sampler.sample([2]) == [2]
    assert made == [1]


def test_a_server_is_known_by_what_it_says_not_by_its_address():
    policy = Policy("p", "some/model", server={"base_url": "http://a:1/v1", "dialect": "vllm"})
    assert open_policy(policy, 0, 8).describe() == {"name": "server", "model": "some/model", "dialect": "vllm"}


def test_every_policy_procedure_and_seed_has_a_ledger_and_all_spend_alike(whole):
    _, out = whole
    config = toy_config(out)
    runs = plan(config)
    assert len(runs) == 2 * 3 * 2
    assert [(run.arm, run.seed) for run in runs[:4]] == [
        ("single / best-of-n", 3), ("single / evolution", 3), ("single / eager", 3), ("sets / best-of-n", 3),
    ]  # fmt: skip
    for run in runs:
        header, _ = read_ledger(run.ledger)
        assert header["config"]["seed"] == run.seed
        assert header["config"]["budget"]["max_completion_tokens"] == 240
        for result in read_results(run.ledger):
            assert 240 - config.longest(run.policy) < result.completion_tokens[-1] <= 240


def run_script(folder: Path, countdown: int = 0) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.vpo.cli.toy_searches", str(folder), str(countdown)]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode


def test_a_killed_comparison_goes_on_and_samples_nothing_twice(whole, tmp_path, monkeypatch):
    report, out = whole
    assert run_script(tmp_path, 60) == -signal.SIGKILL
    begun = len(list(tmp_path.rglob("*.jsonl")))
    assert 1 <= begun < 12
    assert run_script(tmp_path, 50) == -signal.SIGKILL
    assert run_script(tmp_path) == 0
    sampled = (tmp_path / "sampled.txt").read_text().splitlines()
    use_toys(tmp_path, monkeypatch.setattr)
    compare_searches(toy_config(tmp_path), "toy")  # all is there: nothing is sampled at all
    assert (tmp_path / "sampled.txt").read_text().splitlines() == sampled
    drawn = {path.relative_to(tmp_path): read_results(path) for path in sorted(tmp_path.rglob("*.jsonl"))}
    assert drawn == {path.relative_to(out): read_results(path) for path in sorted(out.rglob("*.jsonl"))}
    num_requests = sum(len(result.completion_tokens) for results in drawn.values() for result in results)
    assert len(sampled) == num_requests
    again = json.loads((tmp_path / "comparison.json").read_text())
    assert again["table"] == json.loads(report.to_json())["table"]


def test_another_comparison_does_not_go_on_in_the_same_folder(toys, tmp_path):
    small = {"problems": {"name": "toy", "count": 1}, "seeds": 1, "procedures": None}
    compare_searches(toy_config(tmp_path, **small), "toy")
    with pytest.raises(ValueError, match="belongs to a run with another configuration"):
        compare_searches(toy_config(tmp_path, **small, budget=300), "toy")
