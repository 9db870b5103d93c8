from __future__ import annotations

import httpx
import pytest

from search.batching import DynamicBatcher
from search.openai_sampler import OpenAISampler
from search.records import Request
from search.samplers import SamplerError, ScriptedSampler
from search.serve import serving
from search.serve.server import check_access, is_loopback
from tests.search.serve.asking import script

TOKEN = "a-token-of-many-characters"


def test_with_a_token_nobody_is_answered_without_it():
    with serving(DynamicBatcher(ScriptedSampler(script)), "toy", token=TOKEN) as url:
        for key in (None, "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer ü"):
            headers = {} if key is None else {"authorization": key.encode()}
            for response in (
                httpx.get(f"{url}/models", headers=headers),
                httpx.post(f"{url}/completions", json={"prompt": "x"}, headers=headers),
            ):
                assert response.status_code == 401 and TOKEN not in response.text
                assert response.json()["error"]["code"] == "invalid_api_key"
        assert httpx.get(f"{url}/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert httpx.get(f"{url.removesuffix('/v1')}/health").status_code == 200


def test_our_sampler_brings_the_token(monkeypatch):
    monkeypatch.setenv("VPO_SERVE_TOKEN", TOKEN)
    request = Request(id=0, prompt="x", seed=5, max_new_tokens=9)
    with serving(DynamicBatcher(ScriptedSampler(script)), "toy", token=TOKEN) as url:
        assert OpenAISampler(url, "toy", api_key_env="VPO_SERVE_TOKEN").sample([request])[0].text == "x 5 end"
        with pytest.raises(SamplerError, match="HTTP 401: invalid_api_key the key is missing or wrong"):
            OpenAISampler(url, "toy").sample([request])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_an_open_address_needs_a_token(host):
    with (
        pytest.raises(ValueError, match="expected a token there: export VPO_SERVE_TOKEN"),
        serving(DynamicBatcher(ScriptedSampler(script)), "toy", host=host),
    ):
        pass
    check_access(host, TOKEN)


@pytest.mark.parametrize("token", ["", "short", "a token with spaces in it", "a-tökén-of-many-letters"])
def test_a_weak_token_is_refused_without_showing_it(token):
    with pytest.raises(ValueError, match="weak or cannot be sent, expected at least 16") as caught:
        check_access("127.0.0.1", token)
    assert not token or token not in str(caught.value)


def test_what_is_a_loopback_address():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "localhost.example.org", ""]))


def test_a_name_that_somebody_pointed_at_this_machine_is_refused(url):
    response = httpx.post(f"{url}/completions", json={"prompt": "x"}, headers={"host": "evil.example:80"})
    assert response.status_code == 403 and "evil.example" in response.json()["error"]["message"]
