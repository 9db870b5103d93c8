from __future__ import annotations

import json

import httpx
import pytest

from search.request_seeds import choice_seed
from tests.search.serve.asking import CHAT, ask, post, refused


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
