import pytest

from search.openai_sampler import OpenAISampler
from search.retry import Backoff
from search.samplers import SamplerError
from tests.search.misbehaving_server import completion, misbehaving
from tests.search.openai.asking import AT_ONCE, request
from tests.search.tiny_policy import tiny_tokenizer


@pytest.fixture
def waits(monkeypatch):
    waited = []

    async def pause(seconds):
        waited.append(seconds)

    monkeypatch.setattr("search.openai_sampler._pause", pause)
    return waited


@pytest.mark.parametrize(
    "failure",
    [
        *[(status, {"error": {"message": "busy"}}, {}) for status in (408, 409, 429, 500, 502, 503, 529)],
        "drop",
        "<html>a proxy's page</html>",
        "",
        {"choices": []},
        {"surprise": 1},
        [1, 2],
        completion(reason=None),
        completion(reason="abort"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(server, sampler, failure):
    server.script = [(200, failure, {}) if failure in ("", "<html>a proxy's page</html>") else failure] * 2
    assert sampler.sample([request()])[0].text == "so be it"
    assert len(server.bodies) == 3
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_not_tried_again(server, sampler, status):
    server.script = [(status, {"error": {"message": "that will not do", "code": "nope"}}, {})]
    with pytest.raises(SamplerError, match=f"policy.*: HTTP {status}: nope that will not do. Expected a completion"):
        sampler.sample([request()])
    assert len(server.bodies) == 1


def test_an_account_without_money_is_not_tried_again(server, sampler):
    server.script = [(429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {})]
    with pytest.raises(SamplerError, match="insufficient_quota"):
        sampler.sample([request()])


def test_the_last_failure_is_told_when_attempts_end(server, sampler):
    server.script = lambda body: (503, "no room", {})
    with pytest.raises(
        SamplerError, match=r"HTTP 503: no room; attempts: 4. Expected a completion: look at the server"
    ):
        sampler.sample([request()])


def test_a_server_that_is_not_there_is_named():
    with misbehaving() as gone:
        url = gone.url
    with pytest.raises(SamplerError, match=f"OpenAISampler.'{url}/', 'm'.: ConnectError: .*; attempts: 4"):
        OpenAISampler(url, "m", backoff=AT_ONCE).sample([request()])


def test_retry_after_is_honoured(server, waits):
    server.script = [(429, {}, {"retry-after": "7"}), (503, {}, {"retry-after-ms": "1500"}), (500, {}, {})]
    sampler = OpenAISampler(server.url, "m", backoff=Backoff(first_s=0.5))
    sampler.sample([request()])
    assert 7 <= waits[0] <= 7.5 and 1.5 <= waits[1] <= 2 and 0 <= waits[2] <= 2


def test_a_server_that_asks_for_an_hour_is_given_up(server, waits):
    server.script = [(429, {"error": {"message": "later"}}, {"retry-after": "3600"})]
    with pytest.raises(SamplerError, match=r"HTTP 429: later \(it asks to wait 3600 s\)"):
        OpenAISampler(server.url, "m").sample([request()])
    assert waits == []


def test_a_hanging_server_is_left_and_tried_again(server):
    server.script = ["hang"]
    sampler = OpenAISampler(server.url, "m", backoff=AT_ONCE, timeout_s=1)
    assert sampler.sample([request()])[0].text == "so be it"
    assert server.hung_up.acquire(timeout=30)
    server.script = lambda body: "hang"
    with pytest.raises(SamplerError, match=r"no answer within 0\.2 s; attempts: 1"):
        OpenAISampler(server.url, "m", backoff=Backoff(max_retries=0), timeout_s=0.2).sample([request()])


@pytest.mark.parametrize("tokens", [None, (3, None), ("3", 4)])
def test_an_answer_without_token_counts_is_refused(server, sampler, tokens):
    server.script = [completion(tokens=tokens)]
    with pytest.raises(SamplerError, match=r"no usage\.prompt_tokens and usage\.completion_tokens, expected both"):
        sampler.sample([request()])
    assert len(server.bodies) == 1


def test_with_the_tokenizer_tokens_are_counted_here_if_the_server_does_not(server):
    server.script = [completion("e f g", tokens=None), completion("e f g", tokens=None, reason="length")]
    sampler = OpenAISampler(server.url, "m", tokenizer=tiny_tokenizer())
    counts = [sampler.sample([request(prefix="c")])[0] for _ in range(2)]
    assert [(g.prompt_tokens, g.completion_tokens) for g in counts] == [(3, 4), (3, 3)]


def test_a_server_that_does_not_keep_to_the_limit_is_refused(server, sampler):
    server.script = [completion(tokens=(3, 9))]
    with pytest.raises(SamplerError, match="counted 9 generated tokens, expected at most max_tokens = 8"):
        sampler.sample([request()])
