import pytest

from search.openai_sampler import OpenAISampler
from search.prompt_tokens import request_ids
from tests.search.misbehaving_server import completion
from tests.search.openai.asking import request
from tests.search.tiny_policy import tiny_tokenizer

CHAT = [{"role": "user", "content": "a b"}]


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
