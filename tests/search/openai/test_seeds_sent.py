import logging
import random

import pytest

from search.openai_sampler import OpenAISampler
from search.seed_check import check_seeds
from search.seeds import request_seed
from tests.search.misbehaving_server import completion
from tests.search.openai.asking import request


@pytest.mark.parametrize("bits", [63, 31])
def test_every_request_is_sent_with_a_seed_of_its_own(server, bits):
    sampler = OpenAISampler(server.url, "m", seed_bits=bits)
    sampler.sample([request(id=i, seed=request_seed(0, "p", i)) for i in range(300)])
    seeds = [body["seed"] for body in server.bodies]
    assert len(set(seeds)) == 300 and max(seeds) < 1 << bits
    if bits == 63:
        assert set(seeds) == {request_seed(0, "p", i) for i in range(300)}


def test_100_000_requests_are_worded_with_as_many_seeds():
    """What is sent, without sending it."""
    sampler = OpenAISampler("http://127.0.0.1:1/v1", "m", seed_bits=31)
    requests = (request(id=i, seed=request_seed(0, "p", i)) for i in range(100_000))
    bodies = (sampler._wire.encode(each, sampler._narrow(each.seed))[1] for each in requests)
    assert len({body["seed"] for body in bodies}) == 100_000


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_server_that_gives_every_seed_the_same_is_named_once(server, sampler, caplog):
    sampler.sample([request(id=i, seed=i) for i in range(50)])
    (warning,) = warnings_of(caplog)
    assert "policy at" in warning and "8 seeds gave one prompt the same completion 'so be it'" in warning


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"max_new_tokens": 2}], ids=["greedy", "short"])
def test_equal_completions_that_prove_nothing_are_not_warned_about(server, sampler, caplog, options):
    server.script = lambda body: completion(tokens=(3, 2))
    sampler.sample([request(id=i, seed=i, **options) for i in range(50)])
    assert warnings_of(caplog) == []


def test_a_server_that_honours_seeds_is_not_warned_about(server, sampler, caplog):
    server.script = lambda body: completion(f" {body['seed'] % 3}")
    sampler.sample([request(id=i, seed=i) for i in range(50)])
    report = check_seeds(sampler, "a b")
    assert (report.repeats, report.varies) == (True, True)
    assert warnings_of(caplog) == []


def test_a_server_that_draws_anew_each_time_is_named(server, sampler, caplog):
    server.script = lambda body: completion(f" {random.random()}")
    report = check_seeds(sampler, "a b")
    assert (report.repeats, report.varies) == (False, True)
    (warning,) = warnings_of(caplog)
    assert "gave the same seed different completions" in warning


def test_a_server_with_one_seed_for_all_is_named_when_asked(server, sampler, caplog):
    report = check_seeds(sampler, "a b", num_seeds=2)
    assert (report.repeats, report.varies) == (True, False)
    (warning,) = warnings_of(caplog)
    assert "gave 2 seeds the same completion 'so be it'" in warning


def test_one_seed_checks_nothing(sampler):
    with pytest.raises(ValueError, match="num_seeds is 1, expected at least 2"):
        check_seeds(sampler, "a b", num_seeds=1)
