from __future__ import annotations

import httpx
import pytest

from search.samplers import SamplerError
from search.serve import serving
from tests.search.serve.asking import CHAT, ask, refused


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "n": True}, "n"),
        ({"prompt": "x", "n": 257}, "n"),
        ({"prompt": ["x"] * 100, "n": 3}, "n"),
        ({"prompt": "x", "temperature": -0.1}, "temperature"),
        ({"prompt": "x", "temperature": "hot"}, "temperature"),
        ({"prompt": "x", "top_p": 0}, "top_p"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "max_tokens": 1.5}, "max_tokens"),
        ({"prompt": "x", "seed": 2**63}, "seed"),
        ({"prompt": "x", "stop": [""]}, "stop"),
        ({"prompt": "x", "stop": 3}, "stop"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
        ({"prompt": "x", "stream_options": 1}, "stream_options"),
        ({"prompt": "x", "presence_penalty": 0.5}, "presence_penalty"),
        ({"prompt": "x", "logprobs": 5}, "logprobs"),
        ({"prompt": "x", "top_k": 40}, "top_k"),
        ({"prompt": "x", "messages": CHAT}, "messages"),
        ({"prompt": "x", "anwsers_as_choices": True}, "anwsers_as_choices"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(url, body, param):
    error = refused(url, **body)
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert "expected" in error["message"] or "neither" in error["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "messages is not a list with messages"),
        ({"messages": ["hi"]}, "message 0 has no role or no text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "message 0 has no role or no text"),
        ({"messages": CHAT, "continue_final_message": True}, "last message is not an assistant's"),
        ({"messages": CHAT, "continue_final_message": True, "add_generation_prompt": True}, "must be opposites"),
        ({"messages": CHAT, "tools": [{"type": "function"}]}, "tools is"),
        ({"messages": CHAT, "response_format": {"type": "json_object"}}, "response_format is"),
    ],
    ids=str,
)
def test_a_wrong_chat_is_refused(url, body, words):
    assert words in refused(url, "chat/completions", **body)["message"]


def test_neutral_values_and_fields_without_effect_are_taken(url):
    neutral = {
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "top_k": -1,
        "repetition_penalty": 1.0,
        "logit_bias": {},
    }
    ask(url, prompt="x", user="me", metadata={"a": "b"}, echo=False, **neutral)


def test_another_model_is_not_found(url):
    error = refused(url, status=404, model="gpt-5", prompt="x")
    assert error["code"] == "model_not_found" and "expected 'toy'" in error["message"]


@pytest.mark.parametrize("raw", ["", "{", "[1]", '"x"', "[" * 100_000, "\xff"])
def test_a_body_that_is_no_object_is_refused(url, raw):
    response = httpx.post(f"{url}/completions", content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 400 and "body" in response.json()["error"]["message"]


def test_a_body_that_is_not_declared_as_json_is_refused(url):
    response = httpx.post(f"{url}/completions", content='{"prompt": "x"}', headers={"content-type": "text/plain"})
    assert response.status_code == 415


def test_a_body_that_is_too_long_is_refused(url):
    assert refused(url, status=413, prompt="x" * (16 * 2**20))["message"].startswith("the body is too long")


def test_other_paths_and_methods_are_named_in_openais_format(url):
    assert "Expected POST /v1/completions" in httpx.get(f"{url}/embeddings").json()["error"]["message"]
    assert httpx.get(f"{url}/completions").status_code == 405


class Failing:
    """Raises what it is told to."""

    max_concurrency = 4

    def __init__(self, error):
        self._error = error

    async def generate(self, request):
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError("too long, expected less: shorten it."), 400, "too long, expected less: shorten it."),
        (SamplerError("the engine died"), 502, "the engine died"),
        (
            RuntimeError("weights at /secret/path"),
            500,
            "the server failed at this request (RuntimeError): see its log.",
        ),
    ],
    ids=["value", "sampler", "other"],
)
def test_a_failure_of_the_sampler_is_told_as_far_as_it_is_the_clients_business(error, status, words):
    with serving(Failing(error), "m") as url:
        assert refused(url, status=status, prompt="x")["message"] == words
