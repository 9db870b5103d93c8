"""The server over real connections on 127.0.0.1, around scripted samplers and a real small model."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import socket
import threading

import httpx
import pytest

from search.batching import DynamicBatcher
from search.budget import Budget
from search.driver import run_search
from search.model_sampler import ModelSampler
from search.openai_sampler import OpenAISampler
from search.procedures import Evolution
from search.records import Request, Sampling
from search.request_seeds import choice_seed
from search.samplers import SamplerError, ScriptedSampler
from search.seed_check import check_seeds
from search.serve import serving
from search.serve.server import check_access, is_loopback
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from tests.search.toy_problem import ToyProblem, toy_sampler
from vpo.answers import AnswerFormat

CHAT = [{"role": "user", "content": "a b"}]
TOKEN = "a-token-of-many-characters"


def script(prompt, prefix, seed):
    shown = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return f"{' ' if prefix else ''}{shown} {seed} end"


@pytest.fixture(scope="module")
def url():
    with serving(DynamicBatcher(ScriptedSampler(script)), "toy", default_tokens=50) as url:
        yield url


def post(url, path="completions", **body):
    return httpx.post(f"{url}/{path}", json=body, timeout=60)


def ask(url, path="completions", **body):
    response = post(url, path, **body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(url, path="completions", status=400, **body):
    response = post(url, path, **body)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


# --- the shape of answers ------------------------------------------------------------------------------------------


def test_models_are_listed(url):
    listed = httpx.get(f"{url}/models").json()
    assert [(model["id"], model["object"]) for model in listed["data"]] == [("toy", "model")]
    assert httpx.get(f"{url}/models/toy").json() == listed["data"][0]
    assert httpx.get(f"{url}/models/other").status_code == 404


def test_a_completion_has_openais_shape(url):
    answer = ask(url, model="toy", prompt="one two", seed=5, max_tokens=9)
    assert answer["object"] == "text_completion" and answer["id"].startswith("cmpl-") and answer["model"] == "toy"
    assert answer["choices"] == [
        {"index": 0, "text": "one two 5 end", "finish_reason": "stop", "logprobs": None, "seed": 5}
    ]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


def test_a_chat_completion_has_openais_shape(url):
    answer = ask(url, "chat/completions", model="toy", messages=CHAT, seed=5, max_completion_tokens=2)
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "a b"}
    assert choice["finish_reason"] == "length"


def test_content_parts_are_joined_and_nulls_are_as_if_left_out(url):
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    answer = ask(url, "chat/completions", messages=[{"role": "user", "content": parts}], seed=5, stop=None, top_k=None)
    assert answer["choices"][0]["message"]["content"] == "a b 5 end"


def test_the_last_message_can_be_continued(url):
    messages = [*CHAT, {"role": "assistant", "content": "so"}]
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    answer = ask(url, "chat/completions", messages=messages, seed=5, **flags)
    assert answer["choices"][0]["message"]["content"] == " a b 5 end"
    assert answer["usage"]["prompt_tokens"] == 3


def test_a_prefix_apart_from_the_prompt_is_read_and_not_repeated(url):
    (choice,) = ask(url, prompt="a b", prefix="so", seed=5)["choices"]
    assert choice["text"] == " a b 5 end"
    assert refused(url, prompt="a b", prefix=3)["param"] == "prefix"


def test_choices_have_seeds_of_their_own_and_each_can_be_had_again(url):
    answer = ask(url, prompt="x", seed=5, n=6)
    choices = answer["choices"]
    assert [choice["seed"] for choice in choices] == [choice_seed(5, i) for i in range(6)]
    assert len({choice["text"] for choice in choices}) == 6
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 24, "total_tokens": 25}
    for choice in choices:
        assert ask(url, prompt="x", seed=choice["seed"])["choices"][0]["text"] == choice["text"]


def test_without_a_seed_every_request_draws_anew_and_says_with_which(url):
    choices = [ask(url, prompt="x")["choices"][0] for _ in range(20)]
    assert len({choice["seed"] for choice in choices}) == 20
    assert ask(url, prompt="x", seed=choices[3]["seed"])["choices"][0]["text"] == choices[3]["text"]


def test_several_prompts_are_answered_in_order(url):
    answer = ask(url, prompt=["one", "two two"], n=2, seed=5)
    assert [choice["text"].split()[0] for choice in answer["choices"]] == ["one", "one", "two", "two"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 3
    assert len({choice["seed"] for choice in answer["choices"]}) == 4


def test_a_completion_is_cut_at_the_first_stop_string(url):
    (choice,) = ask(url, prompt="one two", seed=5, stop=["end", " 5"])["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("one two", "stop")


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_a_streamed_answer_is_the_whole_one_in_events(url, path):
    prompt = {"prompt": "a b"} if path == "completions" else {"messages": CHAT}
    body = {**prompt, "seed": 5, "n": 2}
    whole = ask(url, path, **body)
    response = post(url, path, **body, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *lines, last = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert last == "[DONE]"
    events = [json.loads(line) for line in lines]
    texts, reasons = {0: "", 1: ""}, {}
    for choice in (choice for event in events for choice in event["choices"]):
        texts[choice["index"]] += choice["delta"].get("content", "") if "chat" in path else choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    said = [c["message"]["content"] if "chat" in path else c["text"] for c in whole["choices"]]
    assert (list(texts.values()), reasons) == (said, {0: "stop", 1: "stop"})
    assert events[-1]["usage"] == whole["usage"]


# --- answers as choices --------------------------------------------------------------------------------------------

SET = AnswerFormat(num_answers=3)


def write_answers(prompt, prefix, seed):
    """Seed s: s answers; the words of the prompt lead."""
    shown = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    lead = f"{len(shown.split())} words. "
    return lead + SET.render([f"answer {i} of {seed}" for i in range(seed)]) if seed else lead + "no idea"


@pytest.fixture(scope="module")
def set_url():
    with serving(DynamicBatcher(ScriptedSampler(write_answers)), "set", answer_format=SET) as url:
        yield url


def test_answers_become_choices_on_request_and_only_then(set_url):
    plain = ask(set_url, prompt="x", seed=2)["choices"]
    assert [choice["text"].split()[0] for choice in plain] == ["1"] and "<answer_1>" in plain[0]["text"]
    answer = ask(set_url, prompt="x", seed=2, answers_as_choices=True)
    assert [choice["text"] for choice in answer["choices"]] == ["answer 0 of 2", "answer 1 of 2"]
    assert [(c["index"], c["completion"], c["answer"], c["parsed"]) for c in answer["choices"]] == [
        (0, 0, 1, True),
        (1, 0, 2, True),
    ]


def test_the_policy_is_asked_for_answers_unless_the_client_did_so(set_url):
    messages = [{"role": "user", "content": "x"}]
    asked = ask(set_url, "chat/completions", messages=messages, seed=0, answers_as_choices=True)
    num_words = len(SET.ask("x").split())
    assert asked["choices"][0]["message"]["content"] == f"{num_words} words. no idea"
    plain = ask(set_url, prompt="x", seed=0, answers_as_choices=True, ask_for_answers=False)
    assert plain["choices"][0]["text"] == "1 words. no idea"


def test_a_completion_without_an_answer_is_one_choice_that_says_so(set_url):
    (choice,) = ask(set_url, prompt="x", seed=0, answers_as_choices=True, ask_for_answers=False)["choices"]
    assert (choice["text"], choice["answer"], choice["parsed"]) == ("1 words. no idea", None, False)


def test_fewer_answers_can_be_asked_for(set_url):
    choices = ask(set_url, prompt="x", seed=3, answers_as_choices=True, num_answers=2)["choices"]
    assert [choice["answer"] for choice in choices] == [1, 2]


def test_the_number_of_answers_must_be_known(url):
    error = refused(url, prompt="x", answers_as_choices=True)
    assert error["param"] == "num_answers" and "expected num_answers in the request" in error["message"]
    wanted = {"answers_as_choices": True, "num_answers": 2, "ask_for_answers": False}
    assert ask(url, prompt="x", **wanted)["choices"][0]["parsed"] is False


def test_a_chat_without_a_user_cannot_be_asked_for_answers(set_url):
    error = refused(set_url, "chat/completions", messages=[{"role": "system", "content": "x"}], answers_as_choices=True)
    assert "no user message" in error["message"]


# --- what is refused -----------------------------------------------------------------------------------------------


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


# --- who may use it ------------------------------------------------------------------------------------------------


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


# --- many at once --------------------------------------------------------------------------------------------------


class Waiting:
    """Generates when it is let go, and counts what was cancelled."""

    max_concurrency = 8

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.cancelled = threading.Semaphore(0)
        self.go = threading.Event()

    async def generate(self, request):
        self.begun.release()
        try:
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return ScriptedSampler(script).sample([request])[0]


def test_a_client_that_hangs_up_has_its_completions_aborted():
    sampler = Waiting()
    with serving(sampler, "m") as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        body = json.dumps({"prompt": "x", "n": 3})
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            for _ in range(3):
                assert sampler.begun.acquire(timeout=30)
        for _ in range(3):
            assert sampler.cancelled.acquire(timeout=30)


def test_cancelling_our_sampler_aborts_the_completion_over_there():
    sampler = Waiting()

    async def main(url):
        task = asyncio.ensure_future(
            OpenAISampler(url, "m").generate(Request(id=0, prompt="x", seed=0, max_new_tokens=3))
        )
        assert await asyncio.to_thread(sampler.begun.acquire, timeout=30)
        task.cancel()
        assert await asyncio.to_thread(sampler.cancelled.acquire, timeout=30)

    with serving(sampler, "m") as url:
        asyncio.run(main(url))


def test_more_than_may_wait_are_told_to_come_back(monkeypatch):
    from search.serve import server

    make = server.make_app
    monkeypatch.setattr(server, "make_app", lambda *args, **options: make(*args, **options, max_waiting=2))
    sampler = Waiting()
    with serving(sampler, "m") as url, concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(ask, url, prompt="x", n=2)
        assert sampler.begun.acquire(timeout=30)
        response = post(url, prompt="x")
        assert response.status_code == 429 and response.headers["retry-after"] == "1"
        sampler.go.set()
        assert len(first.result()["choices"]) == 2
        ask(url, prompt="x")


def test_a_search_over_the_server_is_the_search_over_the_sampler_behind_it():
    problem = ToyProblem("toy", num_answers=2)
    scripted = toy_sampler(problem)

    def search(sampler):
        return run_search(
            [problem],
            lambda problem: Evolution(problem.vary),
            sampler,
            Budget(max_completion_tokens=600),
            sampling=Sampling(max_new_tokens=20),
            mode="rounds",  # a stream asks at other moments, and finds other things
        )

    with serving(DynamicBatcher(scripted), "toy") as url:
        (over_there,) = search(OpenAISampler(url, "toy", dialect="vpo"))
    (here,) = search(scripted)
    assert [(c.answer, c.parents) for c in over_there.candidates] == [(c.answer, c.parents) for c in here.candidates]
    assert len(here.candidates) > 20


# --- a real model --------------------------------------------------------------------------------------------------


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
