"""VPOTrainer samples with real vLLM engines on the CPU: in step with training, and ended by its answers.

An engine starts once for each run (half a minute), in a process of its own; the tests look at what the runs wrote. In
server mode the weights cannot follow: they travel by NCCL, which needs a GPU.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from eval.rollouts import read_rollouts
from tests.trainers.vllm_run import ARMS, CHECKPOINT, MAX_COMPLETION, PROMPTS, STEPS, UNSYNCED
from tests.vllm_server import environment, vllm_server
from vpo.tasks.word_tokenizer import word_tokenizer

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm"),
]
SERVER_OPTIONS = ["--weight-transfer-config", '{"backend": "nccl"}', "--logprobs-mode", "processed_logprobs"]
SCRIPT = Path(__file__).with_name("vllm_run.py")
COLOURS = ["red", "blue", "green", "one", "two"]
WORDS = ["go", "now", *COLOURS, *[f"<{s}answer_{i}>" for i in (1, 2, 3) for s in ("", "/")]]
END, CLOSING = 2, 4 + WORDS.index("</answer_3>")
COLOCATED = ("to_go", "set")
SAMPLED_WITH_VLLM = (*COLOCATED, "server")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    """A small Llama that writes three answers and then rambles on, on disk with its tokenizer."""
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = word_tokenizer(WORDS)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **special))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    draw = np.random.default_rng(0)
    for _ in range(150):
        texts = []
        for _ in range(16):
            first, *words = draw.choice(COLOURS, 16)
            answers = " ".join(f"<answer_{i}> {words[i]} {words[i + 3]} </answer_{i}>" for i in (1, 2, 3))
            texts.append(f"{draw.choice(['go', 'now'])} {first} {answers} {' '.join(words[7:])}")
        ids = tokenizer(texts, return_tensors="pt", padding=True)["input_ids"]
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(policy: Path, folder: Path, arm: str, *server: str, processes: int = 1) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] * (processes > 1)
    command = [sys.executable, *launcher, str(SCRIPT), str(policy), str(folder), arm, *server]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    facts = [json.loads(path.read_text()) for path in sorted(folder.glob("facts*.json"))]
    return {**facts[0], "processes": facts, "folder": folder, "said": done.stdout + done.stderr}


@pytest.fixture(scope="module")
def server(policy, tmp_path_factory) -> Iterator[str]:
    """Address of a server with the policy of the disk, in the numeric type that vLLM chooses."""
    with vllm_server(policy, tmp_path_factory.mktemp("server") / "log.txt", *SERVER_OPTIONS) as address:
        yield address


@pytest.fixture(scope="module")
def runs(policy, server, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What each arm wrote, with the folder it wrote to."""
    folders = {arm: tmp_path_factory.mktemp(arm) for arm in ARMS}
    return {arm: run(policy, folder, arm, *[server] * (arm == "server")) for arm, folder in folders.items()}


def logged(facts: dict[str, Any], key: str) -> list[float]:
    return [entry[key] for entry in facts["log"] if key in entry]


def steps_of(facts: dict[str, Any]) -> list[dict[str, float]]:
    return [entry for entry in facts["log"] if "loss" in entry]


# --- weights and numeric type --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arm", "of", "rounding"), [("to_go", "max", 1e-4), ("set", "mean", 0.02)])
def test_the_engine_samples_with_the_weights_of_every_step_and_stale_ones_are_seen(arm, of, rounding, runs):
    """Float32 agrees to 1e-5 nats at every token, bfloat16 to .006 in the mean; stale weights make .8 in the mean.

    In bfloat16 a rare token alone may be off by .5, on some processors: so its mean is held, and not its largest.
    """
    gaps = logged(runs[arm], f"sampling/sampling_logp_difference/{of}")
    assert len(gaps) == STEPS
    in_step, stale = gaps[: UNSYNCED + 1], gaps[UNSYNCED + 1 :]  # the evaluation at UNSYNCED was in step
    assert max(in_step) < rounding
    assert max(stale) > 3 * rounding and max(stale) > 0.3
    evaluated = logged(runs[arm], f"eval_sampling/sampling_logp_difference/{of}")
    assert max(evaluated[: UNSYNCED // CHECKPOINT]) < rounding


def test_the_engine_computes_in_the_numeric_type_of_training(runs):
    """The policy on disk is float32, which vLLM by itself would turn into bfloat16: right under autocast only."""
    assert runs["to_go"]["dtype"] == "torch.float32"
    assert runs["set"]["dtype"] == "torch.bfloat16"


def test_runs_with_different_seeds_sample_differently(runs):
    """Both start from the same policy; vLLM by itself seeds every run alike."""
    assert runs["to_go"]["sampled"]["train"][0] != runs["set"]["sampled"]["train"][0]


def test_a_server_with_the_policy_in_another_numeric_type_samples_from_almost_the_same_one(runs):
    gaps = logged(runs["server"], "sampling/sampling_logp_difference/max")
    assert 1e-4 < gaps[0] < 0.15 < max(gaps[1:])  # bfloat16 against float32, then stale weights
    said = "the vLLM server samples in bfloat16, and the policy is trained in float32"
    assert said in runs["server"]["said"]
    assert not any("the vLLM server samples" in runs[arm]["said"] for arm in COLOCATED)


# --- importance sampling correction --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arm", "by_token", "ratios"), [("to_go", True, 1), ("set", False, MAX_COMPLETION), ("server", False, 1)]
)
def test_the_loss_is_our_advantages_times_the_ratio_of_the_two_samplers(arm, by_token, ratios, runs):
    """DAPO's loss on its first pass is -sum(A * ratio * mask) / tokens, whatever the weights are."""
    moved = []
    assert len(runs[arm]["losses"]) == len(steps_of(runs[arm]))
    for step in runs[arm]["losses"]:
        advantages, ratio, mask = (
            np.array(step[name]) for name in ("advantages", "importance_sampling_ratio", "completion_mask")
        )
        assert advantages.shape == (mask.shape if by_token else mask.shape[:1])
        assert ratio.shape == (len(mask), min(ratios, mask.shape[1]))
        advantages = advantages if by_token else advantages[:, None]
        tokens = max(step["num_items_in_batch"], 1)
        assert step["loss"] == pytest.approx(-(advantages * ratio * mask).sum() / tokens, abs=1e-5)
        moved.append(abs(step["loss"] + (advantages * mask).sum() / tokens))
    assert max(moved[-2:]) > 1e-3  # with stale weights the ratio matters


@pytest.mark.parametrize("arm", SAMPLED_WITH_VLLM)
def test_the_mismatch_is_logged(arm, runs):
    for entry in steps_of(runs[arm]):
        low, mean, high = (entry[f"sampling/importance_sampling_ratio/{name}"] for name in ("min", "mean", "max"))
        assert 0 <= low <= mean <= high <= 3.0 + 1e-6  # TRL's clip_max: masked or truncated above
        assert entry["sampling/sampling_logp_difference/mean"] <= entry["sampling/sampling_logp_difference/max"]
    last = steps_of(runs[arm])[-1]
    assert last["sampling/importance_sampling_ratio/min"] < 0.9


# --- where a completion ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("arm", list(ARMS))
def test_a_completion_ends_at_the_closing_tag_of_the_last_answer(arm, mode, runs):
    completions = [ids for batch in runs[arm]["sampled"][mode] for ids in batch]
    assert sum(ids[-1] == CLOSING for ids in completions) > 8
    for ids in completions:
        assert not {END, CLOSING} & set(ids[:-1])
        assert ended(ids) or len(ids) == MAX_COMPLETION
    assert runs[arm]["eos"] == [END, CLOSING]


def ended(ids: list[int]) -> bool:
    return ids[-1] in (END, CLOSING)


def test_a_completion_that_ended_with_its_answers_is_not_masked_as_cut_off(runs):
    facts = runs["to_go"]  # with mask_truncated_completions
    assert any(ids[-1] == CLOSING for batch in facts["sampled"]["train"] for ids in batch)
    for step, batch, entry in zip(facts["losses"], facts["sampled"]["train"], steps_of(facts), strict=True):
        lengths = [sum(mask) for mask in step["completion_mask"]]  # in an order of their own: TRL shuffles
        assert sorted(lengths) == sorted(len(ids) if ended(ids) else 0 for ids in batch)
        assert entry["completions/clipped_ratio"] == np.mean([not ended(ids) for ids in batch])


# --- what is scored and logged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", SAMPLED_WITH_VLLM)
def test_the_rollout_log_holds_what_was_sampled_and_how_it_ended(arm, runs):
    logged_steps = [rows for _, rows in read_rollouts(runs[arm]["folder"] / "rollouts")]
    for rows, batch in zip(logged_steps, runs[arm]["sampled"]["train"], strict=True):
        assert [row["completion_tokens"] for row in rows] == [len(ids) for ids in batch]
        assert [row["finish_reason"] for row in rows] == ["stop" if ended(ids) else "length" for ids in batch]


@pytest.mark.parametrize("arm", SAMPLED_WITH_VLLM)
def test_rewards_are_read_as_sets_of_answers(arm, runs):
    rows = [row for _, rows in read_rollouts(runs[arm]["folder"] / "rollouts") for row in rows]
    assert len(rows) == 8 * len(steps_of(runs[arm]))
    assert sum(len(row["answers"]) == 3 for row in rows) > 8
    for row in rows:
        target = json.loads(row["metadata"])["target"]
        assert (row["prompt"], target) in zip(PROMPTS["prompt"], PROMPTS["target"], strict=True)
        assert row["components"] == ["target_and_one[0]", "target_and_one[1]", "short"]
        for answer, rewards in zip(row["answers"], row["rewards"], strict=True):
            words = answer.split()
            assert rewards == pytest.approx([float(target in words), float("one" in words), 1 / (1 + len(words))])


def test_training_and_evaluation_log_what_they_log_without_vllm_and_the_mismatch(runs):
    def names(facts: dict[str, Any], key: str) -> set[str]:
        return {name for entry in facts["log"] if key in entry for name in entry}

    for key in ("loss", "eval_loss"):
        more = names(runs["to_go"], key) - names(runs["transformers"], key)
        assert names(runs["transformers"], key) - names(runs["to_go"], key) == set()
        assert more and all("sampling/" in name for name in more)
    assert {"eval_best@1", "eval_pass@6", "eval_E_w[best@6]"} <= names(runs["to_go"], "eval_loss")


# --- resume --------------------------------------------------------------------------------------------------------


def test_a_resumed_run_samples_and_learns_as_the_uninterrupted_one(policy, runs, tmp_path):
    whole = runs["to_go"]
    shutil.copytree(whole["folder"] / f"checkpoint-{CHECKPOINT}", tmp_path / f"checkpoint-{CHECKPOINT}")
    resumed = run(policy, tmp_path, "to_go")
    assert resumed["sampled"]["train"] == whole["sampled"]["train"][CHECKPOINT:]
    assert resumed["sampled"]["eval"] == whole["sampled"]["eval"][1:]
    assert resumed["weights"] == whole["weights"]


# --- several processes ---------------------------------------------------------------------------------------------


def test_every_process_samples_its_share_from_an_engine_of_its_own_in_step_with_all(policy, tmp_path):
    facts = run(policy, tmp_path, "to_go", processes=2)
    one, other = facts["processes"]
    assert [len(batch) for batch in one["sampled"]["train"] + other["sampled"]["train"]] == [4] * 2 * STEPS
    assert one["sampled"]["train"][0] != other["sampled"]["train"][0]
    assert one["weights"] == other["weights"]
    gaps = logged(facts, "sampling/sampling_logp_difference/max")  # the largest of both
    assert max(gaps[: UNSYNCED + 1]) < 1e-4 < 0.1 < max(gaps[UNSYNCED + 1 :])
