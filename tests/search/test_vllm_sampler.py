"""Real vLLM engines on the CPU: in this process, in a trainer, and behind a server.

Each engine runs in a process of its own (half a minute); the tests look at what they wrote.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from search.openai_sampler import OpenAISampler
from search.seed_check import check_seeds
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from tests.search.vllm_sampler_run import NUM_ALIKE, mixed, plain
from tests.vllm_server import environment, vllm_server

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm"),
]
SCRIPT = Path(__file__).with_name("vllm_sampler_run.py")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("policy")
    tiny_policy().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def run(policy: str, what: str, folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), policy, what, str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((folder / "facts.json").read_text())


@pytest.fixture(scope="module")
def engine(policy, tmp_path_factory) -> dict[str, Any]:
    return run(policy, "engine", tmp_path_factory.mktemp("engine"))


# --- an engine in this process ----------------------------------------------------------------------------------------


def test_it_computes_in_the_numeric_type_of_the_checkpoint(engine):
    assert engine["describe"]["dtype"] == "float32"


def test_greedy_completions_are_those_of_transformers_whatever_the_prompt(engine):
    assert engine["greedy"] == engine["greedy_transformers"]
    assert {reason for *_, reason in engine["greedy"]} == {"stop", "length"}


def test_a_completion_is_a_function_of_its_seed_and_not_of_its_company(engine):
    assert engine["together"] == engine["alone"] == engine["backwards"]
    assert len({text for _, text, *_ in engine["together"]}) > 15


def test_equal_prompts_with_seeds_of_their_own_differ_as_much_as_with_transformers(engine):
    """Twelve tokens of a sharp policy: some completions come again by chance, in both engines alike."""
    ours, theirs = (len({text for _, text, *_ in engine[key]}) for key in ("alike", "alike_transformers"))
    assert abs(ours - theirs) < 0.15 * NUM_ALIKE and ours > NUM_ALIKE / 2


def test_neighbouring_seeds_do_not_share_completions(engine):
    assert len({text for _, text, *_ in engine["neighbours"]}) > NUM_ALIKE / 2


def test_further_tokens_end_a_completion_and_stay_in_it(engine):
    ended = [row for row in engine["stopped"] if "c" in row[1].split()]
    assert len(ended) > 20
    assert all(text.split().index("c") == len(text.split()) - 1 and reason == "stop" for _, text, *_, reason in ended)


def test_no_requests_and_too_long_ones(engine):
    assert engine["nothing"] == []
    assert "60 tokens and max_new_tokens = 10 do not fit together" in engine["too_long"]
    assert engine["tokens"] == 4


# --- an engine in a trainer -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(policy, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("training")
    return {name: run(policy, "training", folder / name) for name in ("searched", "plain")}


def test_the_engine_samples_with_the_weights_of_the_step(runs):
    (first, *_), (last, *_) = seen = runs["searched"]["seen"]
    assert (first, last) == (2, 4)
    for _, with_engine, with_model, sampled in seen:
        assert with_engine == with_model
        assert len({text for _, text, *_ in sampled}) > 12
    assert seen[0][1] != seen[1][1], "it has learned in between"


def test_a_run_that_is_searched_on_its_way_is_the_same_run(runs):
    assert runs["searched"]["weights"] == runs["plain"]["weights"]
    start = torch.cat([parameter.detach().flatten() for parameter in tiny_policy().parameters()])
    assert runs["plain"]["weights"] != start.tolist(), "it did learn"


# --- an engine behind a server ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(policy, tmp_path_factory) -> Iterator[str]:
    options = ("--served-model-name", "policy", "--dtype", "float32", "--enforce-eager")
    with vllm_server(policy, tmp_path_factory.mktemp("server") / "log.txt", *options) as address:
        yield f"{address}/v1"


@pytest.mark.parametrize("temperature", ["greedy", "together"])
def test_token_ids_over_the_server_give_what_the_engine_gives_here(url, engine, temperature):
    sampler = OpenAISampler(url, "policy", tokenizer=tiny_tokenizer(), seed_bits=32)  # as the engine on a CPU
    found = plain(sampler.sample(mixed(float(temperature == "together"))))
    # vLLM counts a white space more or less between prefix and text, as it decodes by itself
    assert [[n, text.split(), *rest] for n, text, *rest in found] == [
        [n, text.split(), *rest] for n, text, *rest in engine[temperature]
    ]


def test_chats_with_a_prefix_are_continued(url, engine):
    chats = [request for request in mixed(0.0) if not isinstance(request.prompt, str)]
    found = plain(OpenAISampler(url, "policy").sample(chats))
    expected = [engine["greedy"][request.id] for request in chats]
    assert [text.split() for _, text, *_ in found] == [text.split() for _, text, *_ in expected]
    assert [tokens for _, _, tokens, *_ in found] == [tokens for _, _, tokens, *_ in expected]


def test_it_honours_seeds(url):
    report = check_seeds(OpenAISampler(url, "policy"), "a b c", max_new_tokens=12)
    assert report.repeats and report.varies
