from __future__ import annotations

import pytest

from search.batching import DynamicBatcher
from search.model_sampler import ModelSampler
from search.openai_sampler import OpenAISampler
from search.records import Request
from search.seed_check import check_seeds
from search.serve import serving
from tests.search.serve.asking import CHAT, ask, refused
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer


@pytest.fixture(scope="module")
def policy():
    return ModelSampler(tiny_policy(), tiny_tokenizer(), batch_size=5)


@pytest.fixture(scope="module")
def policy_url(policy):
    with serving(DynamicBatcher(policy, max_batch=5), "policy") as url:
        yield url


def test_concurrent_completions_of_a_model_are_those_that_it_gives_alone(policy, policy_url):
    requests = [
        Request(
            id=i,
            prompt=CHAT if i % 3 == 0 else " ".join("abcdefghijk"[: 1 + i % 11]),
            seed=i,
            max_new_tokens=4 + i % 5,
            prefix="c d" if i % 2 else "",
        )
        for i in range(24)
    ]
    alone = [policy.sample([request])[0] for request in requests]
    over_there = OpenAISampler(policy_url, "policy", dialect="vpo").sample(requests)
    assert over_there == alone
    assert len({generation.text for generation in alone}) > 15


def test_a_served_model_honours_seeds(policy_url):
    report = check_seeds(OpenAISampler(policy_url, "policy"), "a b c", max_new_tokens=12)
    assert report.repeats and report.varies


def test_what_does_not_fit_the_context_is_refused_without_waiting(policy_url):
    assert "do not fit together" in refused(policy_url, prompt="a " * 60, max_tokens=10)["message"]
    assert "no tokens" in refused(policy_url, prompt="", max_tokens=10)["message"]


def test_a_chat_needs_a_template():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with serving(DynamicBatcher(ModelSampler(tiny_policy(), tokenizer)), "m", default_tokens=5) as url:
        assert "no chat template" in refused(url, "chat/completions", messages=CHAT)["message"]
        ask(url, prompt="a b")
