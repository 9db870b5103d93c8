from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.problems.search_prompt import clipped, search_prompt
from search.records import Candidate
from vpo.answers import AnswerFormat

FORMAT = AnswerFormat(num_answers=3, tag="response")
TEXT = "Name a prime."
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]


def candidate(id: int, answer: str = "seven", vector=(0.1 + 0.2, 1.0), **options) -> Candidate:
    return Candidate(id=id, answer=answer, vector=vector, scalar=0.5, parents=(), generation_id=0, **options)


def last_text(prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    content = prompt[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("prompt", [TEXT, CHAT, PARTS])
@pytest.mark.parametrize("is_asked", [True, False])
@pytest.mark.parametrize("answer_format", [FORMAT, AnswerFormat(num_answers=1), AnswerFormat(num_answers=9)])
def test_the_problem_comes_first_and_the_trained_request_last(prompt, is_asked, answer_format):
    given_prompt = answer_format.ask(prompt) if is_asked else prompt
    before = copy.deepcopy(given_prompt)
    found = search_prompt(given_prompt, answer_format, ("odd", "prime"), candidate(4), [candidate(2, "nine")])
    assert given_prompt == before
    assert type(found) is type(prompt) and len(found) >= 1
    text = last_text(found)
    assert text.startswith(TEXT) and text.endswith(answer_format.instruction())
    if answer_format.num_answers > 1:
        assert text.count(answer_format.instruction()) == 1
        assert answer_format.ask(answer_format.unask(found)) == found
    if not isinstance(prompt, str):
        assert found[:-1] == prompt[:-1] and [each["role"] for each in found] == [each["role"] for each in prompt]


def test_scores_have_every_digit_and_a_name():
    text = search_prompt(TEXT, FORMAT, ("odd", "prime"), candidate(4))
    assert "Attempt 4. Scores: odd = 0.30000000000000004, prime = 1.0\nseven" in text


def test_inspirations_stand_in_the_order_of_their_ids_before_the_parent_whatever_order_they_came_in():
    others = [candidate(i, f"answer {i}") for i in (9, 1, 5)]
    first = search_prompt(TEXT, FORMAT, ("odd", "prime"), candidate(3), others)
    assert first == search_prompt(TEXT, FORMAT, ("odd", "prime"), candidate(3), others[::-1])
    places = [first.index(f"Attempt {i}. Scores") for i in (1, 5, 9, 3)]
    assert places == sorted(places)


def test_prompts_on_one_problem_share_their_beginning_up_to_the_first_inspiration_that_differs():
    one = search_prompt(TEXT, FORMAT, ("odd", "prime"), candidate(3), [candidate(1, "a"), candidate(2, "b")])
    two = search_prompt(TEXT, FORMAT, ("odd", "prime"), candidate(4, "x"), [candidate(1, "a"), candidate(2, "b")])
    shared = one[: next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)]
    assert "Attempt 1." in shared and "Attempt 2." in shared


def test_the_parent_is_not_shown_twice():
    text = search_prompt(TEXT, FORMAT, ("odd", "prime"), candidate(3), [candidate(3), candidate(8)])
    assert text.count("seven") == 1


def test_what_failed_and_why_is_said_and_long_reports_lose_their_middle():
    report = "START" + "x" * 9000 + "ValueError: the END"
    text = search_prompt(
        TEXT, FORMAT, ("odd", "prime"), candidate(4, status="error", artifact=report), most_feedback=400
    )
    assert "Attempt 4 failed: it broke off with an error." in text
    assert "START" in text and "ValueError: the END" in text and "characters left out" in text
    assert len(text) < 2500


@given(st.text(max_size=300), st.integers(1, 200))
def test_clipping_keeps_both_ends_and_counts_what_it_takes(text, most):
    found = clipped(text, most)
    if len(text) <= most:
        assert found == text
    else:
        head, tail = most // 4, most - most // 4
        assert found.startswith(text[:head]) and found.endswith(text[-tail:])
        assert f"{len(text) - most} characters" in found


def test_another_problems_candidate_is_refused():
    with pytest.raises(ValueError, match="2 rewards and the problem 1 components"):
        search_prompt(TEXT, FORMAT, ("odd",), candidate(4))


def test_a_chat_without_a_user_is_refused():
    with pytest.raises(ValueError, match="no user message"):
        search_prompt([{"role": "system", "content": "x"}], FORMAT, ("odd", "prime"), candidate(4))
