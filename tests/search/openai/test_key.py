import logging
import traceback

import pytest

from search.budget import Budget
from search.driver import run_search
from search.openai_sampler import OpenAISampler
from search.procedures import Evolution
from search.records import Sampling
from search.samplers import SamplerError
from tests.search.openai.asking import AT_ONCE, request
from tests.search.toy_problem import ToyProblem

KEY = "sk-very-secret-0123456789"


def test_the_key_is_sent_and_shown_nowhere(server, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("POLICY_KEY", KEY + "\n")
    caplog.set_level(logging.DEBUG)
    sampler = OpenAISampler(server.url, "m", api_key_env="POLICY_KEY", backoff=AT_ONCE)
    problem = ToyProblem("toy", num_answers=1)
    path = tmp_path / "ledger.jsonl"
    run_search(
        [problem],
        lambda problem: Evolution(problem.vary),
        sampler,
        Budget(max_completion_tokens=60),
        sampling=Sampling(max_new_tokens=8),
        ledger_path=path,
    )
    assert server.keys and set(server.keys) == {f"Bearer {KEY}"}
    told = [repr(sampler), str(sampler), repr(vars(sampler)), str(sampler.describe()), path.read_text()]
    for status in (401, 500):
        server.script = lambda body, status=status: (status, {"error": {"message": f"wrong key {KEY}"}}, {})
        with pytest.raises(SamplerError, match=r"wrong key \*\*\*") as caught:
            sampler.sample([request()])
        told += [str(caught.value), repr(caught.value), repr(caught.value.__context__), repr(caught.value.__cause__)]
        told.append("".join(traceback.format_exception(caught.value)))
    assert KEY not in "\n".join([*told, caplog.text])


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_key_is_found_at_the_door(monkeypatch, value):
    monkeypatch.delenv("POLICY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("POLICY_KEY", value)
    with pytest.raises(ValueError, match="POLICY_KEY is empty or not set, expected the server's key"):
        OpenAISampler("http://127.0.0.1:1/v1", "m", api_key_env="POLICY_KEY")


@pytest.mark.parametrize("value", ["sk-se\ncret", "sk-secrét"])
def test_a_key_that_no_header_may_have_is_refused_without_showing_it(monkeypatch, value):
    monkeypatch.setenv("POLICY_KEY", value)
    with pytest.raises(ValueError, match="expected a key of printable ASCII") as caught:
        OpenAISampler("http://127.0.0.1:1/v1", "m", api_key_env="POLICY_KEY")
    assert "sk-se" not in str(caught.value)


def test_no_key_is_sent_unless_its_variable_is_named(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    OpenAISampler(server.url, "m").sample([request()])
    assert server.keys == [None]


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "https://host/v1?key=secret", "https://host/#secret"])
def test_an_address_with_credentials_is_refused_without_showing_them(url):
    with pytest.raises(ValueError, match="base_url holds credentials, a query or a fragment, expected") as caught:
        OpenAISampler(url, "m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="expected an address such as"):
        OpenAISampler(url, "m")


@pytest.mark.parametrize(
    "wrong", [{"max_concurrency": 0}, {"timeout_s": 0}, {"timeout_s": float("nan")}, {"seed_bits": 8}]
)
def test_a_wrong_number_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))} is .*expected"):
        OpenAISampler("http://127.0.0.1:1/v1", "m", **wrong)
