from __future__ import annotations

import pytest

from search.batching import DynamicBatcher
from search.samplers import ScriptedSampler
from search.serve import serving
from tests.search.serve.asking import ask, refused
from vpo.answers import AnswerFormat

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
