import asyncio
import logging
import random
import threading
import traceback

import pytest

from search.budget import Budget
from search.driver import run_search
from search.openai_sampler import OpenAISampler
from search.procedures import Evolution
from search.prompt_tokens import request_ids
from search.records import Request, Sampling
from search.retry import Backoff
from search.samplers import SamplerError
from search.seed_check import check_seeds
from search.seeds import request_seed
from tests.search.misbehaving_server import completion, misbehaving
from tests.search.tiny_policy import tiny_tokenizer
from tests.search.toy_problem import ToyProblem

AT_ONCE = Backoff(max_retries=3, first_s=0, longest_s=0)
CHAT = [{"role": "user", "content": "a b"}]
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server():
    with misbehaving() as server:
        yield server


@pytest.fixture
def sampler(server):
    return OpenAISampler(server.url, "policy", backoff=AT_ONCE)


@pytest.fixture
def waits(monkeypatch):
    waited = []

    async def pause(seconds):
        waited.append(seconds)

    monkeypatch.setattr("search.openai_sampler._pause", pause)
    return waited


def request(id=0, prompt="a b", seed=1, **options) -> Request:
    return Request(id=id, prompt=prompt, seed=seed, **{"max_new_tokens": 8, **options})


# --- what is sent, and what is made of the answer ------------------------------------------------------------------


def test_a_text_prompt_goes_to_completions_with_its_prefix_and_all_settings(server, sampler):
    server.script = [completion(" and so on", reason="length", tokens=(5, 8))]
    (generation,) = sampler.sample([request(id=7, prefix=" c", seed=2**62 + 1, temperature=0.5, top_p=0.9)])
    assert (generation.request_id, generation.text) == (7, " c and so on")
    assert (generation.prompt_tokens, generation.completion_tokens, generation.finish_reason) == (5, 8, "length")
    assert server.paths == ["/v1/completions"]
    assert server.bodies == [
        {
            "model": "policy", "prompt": "a b c", "max_tokens": 8, "temperature": 0.5, "top_p": 0.9, "n": 1,
            "seed": 2**62 + 1, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0,
        }
    ]  # fmt: skip


def test_a_chat_goes_to_chat_completions_with_its_prefix_as_a_message_to_be_continued(server, sampler):
    generations = sampler.sample([request(prompt=CHAT), request(prompt=CHAT, prefix="so")])
    assert [generation.text for generation in generations] == ["so be it", "soso be it"]
    assert set(server.paths) == {"/v1/chat/completions"}
    bare, prefixed = sorted(server.bodies, key=lambda body: len(body["messages"]))
    assert bare["messages"] == CHAT and "continue_final_message" not in bare
    assert prefixed["messages"] == [*CHAT, {"role": "assistant", "content": "so"}]
    assert (prefixed["continue_final_message"], prefixed["add_generation_prompt"]) == (True, False)


def test_with_the_tokenizer_prompts_go_as_the_ids_that_the_policy_was_trained_on(server):
    tokenizer = tiny_tokenizer()
    sampler = OpenAISampler(server.url, "policy", tokenizer=tokenizer)
    requests = [request(prefix="c d"), request(prompt=CHAT, prefix="c"), request(prompt=CHAT)]
    for each in requests:
        sampler.sample([each])
    assert set(server.paths) == {"/v1/completions"}
    assert [body["prompt"] for body in server.bodies] == [
        prompt + prefix for prompt, prefix in (request_ids(tokenizer, each) for each in requests)
    ]
    assert tokenizer.decode(server.bodies[1]["prompt"]) == "u a b a c"
    assert sampler.count_tokens(CHAT) == 4
    assert not hasattr(OpenAISampler(server.url, "policy"), "count_tokens")


def test_a_server_that_knows_openais_fields_alone_gets_no_others(server):
    sampler = OpenAISampler(server.url, "m", dialect="openai", limit_field="max_completion_tokens")
    sampler.sample([request(prompt=CHAT)])
    known = {"model", "messages", "max_completion_tokens", "temperature", "top_p", "seed", "n"}
    assert server.bodies[0].keys() == known
    with pytest.raises(ValueError, match=r"a chat with the prefix 'so' .* expected no prefix"):
        sampler.sample([request(prompt=CHAT, prefix="so")])


def test_our_own_server_gets_the_prefix_apart_from_the_prompt(server):
    sampler = OpenAISampler(server.url, "m", dialect="vpo")
    assert sampler.sample([request(prefix="c")])[0].text == "cso be it"
    assert (server.bodies[0]["prompt"], server.bodies[0]["prefix"]) == ("a b", "c")
    assert not {"top_k", "min_p", "repetition_penalty"} & server.bodies[0].keys()


def test_further_fields_are_sent_and_named(server):
    sampler = OpenAISampler(server.url, "m", extra_body={"top_k": 5}, chat_template_kwargs={"loud": True})
    sampler.sample([request(prompt=CHAT)])
    assert (server.bodies[0]["top_k"], server.bodies[0]["chat_template_kwargs"]) == (5, {"loud": True})
    assert sampler.describe()["extra_body"] == {"top_k": 5}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("tool_calls", "stop"),
        ("length", "length"),
        ("content_filter", "length"),
    ],
)
def test_the_reason_of_the_end_is_mapped(server, sampler, theirs, ours):
    server.script = [completion(reason=theirs)]
    assert sampler.sample([request()])[0].finish_reason == ours


def test_an_empty_completion_costs_a_token(server, sampler):
    server.script = [completion(None, chat=True, tokens=(3, 0))]
    (generation,) = sampler.sample([request(prompt=CHAT)])
    assert (generation.text, generation.completion_tokens) == ("", 1)


def test_no_requests_make_no_connection(sampler):
    assert sampler.sample([]) == []


# --- what goes wrong -----------------------------------------------------------------------------------------------


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


# --- many at once --------------------------------------------------------------------------------------------------


def test_answers_come_in_order_however_they_arrive(server, sampler):
    server.script = lambda body: completion(f" {body['seed']}")
    generations = sampler.sample([request(id=i, seed=1000 + i) for i in range(200)])
    assert [(g.request_id, g.text) for g in generations] == [(i, f" {1000 + i}") for i in range(200)]


def test_as_many_requests_are_under_way_as_may_be_and_no_more(server):
    server.barrier = threading.Barrier(5)  # passes only if five are there together
    OpenAISampler(server.url, "m", max_concurrency=5).sample([request(id=i) for i in range(20)])
    assert server.most_at_once == 5


def test_cancelling_the_task_hangs_up(server, sampler):
    server.script = lambda body: "hang"

    async def main():
        task = asyncio.ensure_future(sampler.generate(request()))
        await asyncio.to_thread(server.hanging.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.hung_up.acquire, timeout=30)
        server.script = []
        return await sampler.generate(request(id=1))

    assert asyncio.run(main()).request_id == 1


def test_one_failure_ends_the_batch_and_hangs_up_on_the_rest(server, sampler):
    server.script = lambda body: (400, {}, {}) if body["seed"] == 3 else "hang"
    server.barrier = threading.Barrier(6)  # the failure comes when all are there
    with pytest.raises(SamplerError, match="HTTP 400"):
        sampler.sample([request(id=i, seed=i) for i in range(6)])
    for _ in range(5):
        assert server.hung_up.acquire(timeout=30)


def test_batches_can_be_sampled_where_an_event_loop_runs(server, sampler):
    async def main():
        return sampler.sample([request()])

    assert asyncio.run(main())[0].text == "so be it"


def test_connections_are_kept_inside_the_context_and_closed_outside(server, sampler):
    async def main():
        async with sampler:
            for i in range(5):
                await sampler.generate(request(id=i))
            (pool,) = sampler._pools.values()
            assert len(pool._idle) == 1, "one connection did it all"
        assert not sampler._pools

    asyncio.run(main())


# --- the key -------------------------------------------------------------------------------------------------------


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


# --- seeds ---------------------------------------------------------------------------------------------------------


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
