"""Answer sets: every stated outcome of parsing, the round trip with rendering, linear time, and how one asks."""

from __future__ import annotations

import copy
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.answers import AnswerFormat, AnswerSet

THREE = AnswerFormat(num_answers=3)
PIECES = ["<answer_1>", "</answer_2>", "<answer_", "</", "<", ">", "1", " ", "\n", "x"]
TEXTS = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES)).map("".join))
TAGS = ["<answer_1>", "</answer_1>", "<answer_2>", "</answer_2>", "<answer_9>", "</answer_9>", "a", " "]
NO_TAGS = ["", "no tags", "<answer_>x</answer_>", "<answer_1 >x</answer_1 >", "<ANSWER_1>x</ANSWER_1>"]


def parsed(text: str, **options) -> AnswerSet:
    return AnswerFormat(**options).parse(text)


def test_answers_reasoning_and_spans_of_a_well_formed_completion():
    text = "I think.\n<answer_1>\n  left \n</answer_1>\n<answer_2>right</answer_2> and <answer_3>up\nup</answer_3>."
    found = THREE.parse(text)
    assert found.answers == ("left", "right", "up\nup")
    assert [text[start:end] for start, end in found.spans] == list(found.answers)
    assert found.reasoning == "I think.\n"
    assert (found.num_unclosed, found.num_extra, found.num_duplicates, found.parse_failed) == (0, 0, 0, False)


def test_other_tags_inside_an_answer_are_its_text():
    code = "print('<answer_2>no</answer_2>') # </answer_12> <answer_1>"
    found = THREE.parse(f"<answer_1>{code}</answer_1><answer_2>yes</answer_2>")
    assert found.answers == (code, "yes")
    assert found.num_unclosed == found.num_extra == 0


def test_an_opening_without_its_closing_tag_is_no_answer():
    found = THREE.parse("why <answer_1>a</answer_1><answer_2>cut off he")
    assert found == AnswerSet(("a",), ((14, 15),), "why ", num_unclosed=1)


def test_reading_goes_on_right_after_an_unclosed_opening():
    found = THREE.parse("<answer_1>lost <answer_2>found</answer_2>")
    assert found == AnswerSet(("found",), ((25, 30),), "", num_unclosed=1)


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        ("why <answer_1>a</answer_1> <answer_2>cut off he", " <answer_2>cut off he"),
        ("<answer_1>a</answer_1><answer_2>b<answer_3>c", "<answer_2>b<answer_3>c"),
        ("<answer_1>lost <answer_2>found</answer_2> ok", None),
        ("<answer_1>a</answer_1><answer_7>b</answer_7>", None),
        ("<answer_1>cut", "<answer_1>cut"),
        ("<answer_1>a</answer_1> and so on", None),
    ],
)
def test_what_was_begun_after_the_last_closed_answer_is_unfinished(text, unfinished):
    found = THREE.parse(text).unfinished
    assert (found and text[found[0] : found[1]]) == (unfinished and unfinished.lstrip())


def test_an_unclosed_repeat_counts_as_unclosed_not_as_extra():
    found = THREE.parse("<answer_2>a</answer_2> <answer_2> <answer_1>b</answer_1>")
    assert found.answers == ("a", "b")
    assert (found.num_unclosed, found.num_extra) == (1, 0)


@pytest.mark.parametrize("number", ["0", "4", "01", "99999999999999999999", "1" * 5000])
def test_a_number_out_of_range_is_extra_and_skipped_with_its_contents(number):
    found = THREE.parse(f"<answer_{number}>no <answer_1>no</answer_1></answer_{number}><answer_2>yes</answer_2>")
    assert (found.answers, found.num_extra, found.num_unclosed) == (("yes",), 1, 0)


def test_a_number_seen_before_is_extra():
    found = THREE.parse("<answer_1>a</answer_1><answer_1>b</answer_1><answer_2>c</answer_2>")
    assert (found.answers, found.num_extra) == (("a", "c"), 1)


def test_answers_stand_in_the_order_of_appearance():
    assert THREE.parse("<answer_3>c</answer_3><answer_1>a</answer_1>").answers == ("c", "a")


def test_a_closing_tag_alone_is_text():
    found = THREE.parse("</answer_1> so <answer_1>a</answer_1></answer_2>")
    assert found == AnswerSet(("a",), ((25, 26),), "</answer_1> so ")


@pytest.mark.parametrize("text", NO_TAGS)
def test_without_a_tag_there_is_no_answer_and_all_is_reasoning(text):
    found = THREE.parse(text)
    assert found == AnswerSet((), (), text)
    assert found.parse_failed


def test_digits_of_other_scripts_are_text():
    text = "<answer_\u0661>a</answer_\u0661>"
    assert THREE.parse(text) == AnswerSet((), (), text)


@pytest.mark.parametrize("inside", ["", " ", "\n\n\t"])
def test_an_empty_answer_is_an_answer(inside):
    found = THREE.parse(f"<answer_1>{inside}</answer_1>")
    assert found == AnswerSet(("",), ((10, 10),), "")
    assert not found.parse_failed


def test_duplicates_are_counted_and_kept():
    found = THREE.parse("<answer_1>a</answer_1><answer_2> a\n</answer_2><answer_3>b</answer_3>")
    assert (found.answers, found.num_duplicates) == (("a", "a", "b"), 1)


def test_duplicates_are_dropped_on_demand_and_still_counted():
    text = "<answer_1>a</answer_1><answer_2> a\n</answer_2><answer_3>b</answer_3>"
    found = parsed(text, deduplicate=True)
    assert (found.answers, found.num_duplicates) == (("a", "b"), 1)
    assert [text[start:end] for start, end in found.spans] == ["a", "b"]


def test_three_equal_answers_are_two_duplicates():
    text = THREE.render(["a", "a", "a"])
    assert THREE.parse(text).num_duplicates == parsed(text, deduplicate=True).num_duplicates == 2


def test_another_tag_name_sees_only_its_own_tags():
    assert parsed("<answer_1>no</answer_1><route_1>yes</route_1>", tag="route").answers == ("yes",)


@given(st.text())
def test_one_answer_is_the_whole_completion_untouched(text):
    found = parsed(text, num_answers=1)
    assert found == AnswerSet((text,), ((0, len(text)),))
    assert not found.parse_failed


@settings(deadline=None)
@given(st.integers(2, 5).flatmap(lambda m: st.tuples(st.just(m), st.lists(TEXTS, max_size=m))), st.text(max_size=20))
def test_what_is_rendered_is_parsed_back(case, reasoning):
    num_answers, answers = case
    answers = [answer.replace(f"</answer_{index}>", "") for index, answer in enumerate(answers, start=1)]
    if any(f"</answer_{index}>" in answer for index, answer in enumerate(answers, start=1)) or "<" in reasoning:
        return  # taking one closing tag out may make another
    form = AnswerFormat(num_answers)
    found = form.parse(form.render(answers, reasoning))
    assert found.answers == tuple(answer.strip() for answer in answers)
    assert found.num_unclosed == found.num_extra == 0
    assert found.num_duplicates == len(answers) - len({answer.strip() for answer in answers})
    assert found.reasoning.strip() == reasoning.strip()


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(TAGS)))
def test_parsing_equals_the_rules_read_out_slowly(pieces):
    text = "".join(pieces)
    answers, seen, position, unclosed, extra = [], set(), 0, 0, 0
    while position < len(text):
        number = next((n for n in ("1", "2", "9") if text.startswith(f"<answer_{n}>", position)), None)
        if number is None:
            position += 1
            continue
        start = position + len("<answer_1>")
        end = text.find(f"</answer_{number}>", start)
        if end < 0:
            unclosed += 1
            position = start
            continue
        position = end + len("</answer_1>")
        if number == "9" or number in seen:
            extra += 1
        else:
            seen.add(number)
            answers.append(text[start:end].strip())
    found = parsed(text, num_answers=2)
    assert (list(found.answers), found.num_unclosed, found.num_extra) == (answers, unclosed, extra)


MILLION = 1_000_000
HOSTILE = {
    "openings": "<answer_1>" * (MILLION // 10),
    "openings of many numbers": "".join(f"<answer_{number}>" for number in range(MILLION // 14)),
    "brackets": "<" * MILLION,
    "half openings": "<answer_" * (MILLION // 8),
    "half closings": "</answer_1" * (MILLION // 10),
    "one endless number": "<answer_" + "1" * MILLION,
    "endless numbers": ("<answer_" + "1" * 1000) * (MILLION // 1000),
    "nested": "<answer_1><answer_2>" * (MILLION // 40) + "</answer_2></answer_1>" * (MILLION // 40),
    "closings, then openings": "</answer_1>" * (MILLION // 22) + "<answer_1>" * (MILLION // 20),
    "extras": "<answer_1></answer_1>" * (MILLION // 21),
    "other numbers closed at the end": "<answer_5><answer_6>" * (MILLION // 20) + "</answer_7>",
    "white space": "<answer_1>" + " " * MILLION + "</answer_1>",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_megabyte_of_anything_is_parsed_in_linear_time(kind):
    start = time.process_time()
    THREE.parse(HOSTILE[kind])
    assert time.process_time() - start < 3  # linear: about 0.1 s; quadratic: minutes


def test_one_answer_asks_for_nothing():
    chat = [{"role": "user", "content": "q"}]
    single = AnswerFormat(1)
    assert single.instruction() == "" and single.ask("q") == "q" and single.ask(chat) is chat


@pytest.mark.parametrize("num_answers", [2, 3, 4, 5, 32])
def test_the_instruction_shows_tags_that_the_parser_reads(num_answers):
    form = AnswerFormat(num_answers, tag="route")
    instruction = form.instruction()
    assert f"Give {num_answers} different answers" in instruction
    shown = form.parse(instruction).answers
    assert shown[0] == "answer 1" and shown[-1] == f"answer {num_answers}"
    assert len(shown) == min(num_answers, 4 if num_answers <= 4 else 3)


def test_text_is_asked_after_a_blank_line():
    assert THREE.ask("2 + 2?") == f"2 + 2?\n\n{THREE.instruction()}"


def test_chat_is_asked_in_the_last_user_message_without_changing_the_input():
    chat = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "last", "name": "n"},
        {"role": "assistant", "content": "prefill"},
    ]
    before = copy.deepcopy(chat)
    asked = THREE.ask(chat)
    assert chat == before
    assert asked[3] == {"role": "user", "content": f"last\n\n{THREE.instruction()}", "name": "n"}
    assert asked[:3] + asked[4:] == before[:3] + before[4:]


def test_content_parts_get_a_text_part_without_changing_the_input():
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is this?"}]}]
    before = copy.deepcopy(chat)
    asked = THREE.ask(chat)
    assert chat == before
    assert asked[0]["content"] == [*before[0]["content"], {"type": "text", "text": f"\n\n{THREE.instruction()}"}]


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        (None, TypeError, "prompt of type NoneType.*expected text or a list of chat messages"),
        (["q"], TypeError, "prompt of type list"),
        ({"role": "user", "content": "q"}, TypeError, "prompt of type dict"),
        ([{"role": "system", "content": "s"}], ValueError, r"no user message among the roles \['system'\]"),
        ([], ValueError, r"no user message among the roles \[\]"),
        ([{"role": "user", "content": None}], ValueError, "content of the last user message is None"),
    ],
)
def test_prompts_that_cannot_be_asked_are_refused(prompt, error, message):
    with pytest.raises(error, match=message):
        THREE.ask(prompt)


@pytest.mark.parametrize("num_answers", [0, -1, 2.0, "3", None, True])
def test_num_answers_must_be_a_whole_number_above_zero(num_answers):
    with pytest.raises(ValueError, match=r"num_answers is .*: expected a whole number of at least 1"):
        AnswerFormat(num_answers)


def test_more_answers_than_a_completion_could_hold_are_refused_before_their_tags_are_made():
    with pytest.raises(ValueError, match="expected 1000 at most"):
        AnswerFormat(2**63)
    assert AnswerFormat(1000).instruction()


@pytest.mark.parametrize("tag", ["", "1a", "<answer>", "a b", "a.b", "answer\n", "é", None])
def test_tags_must_be_names(tag):
    with pytest.raises(ValueError, match=r"tag is .*: expected a letter followed by"):
        AnswerFormat(tag=tag)


@pytest.mark.parametrize(
    ("num_answers", "answers", "reasoning", "message"),
    [
        (2, ["a", "b", "c"], "", "3 answers were given: expected at most 2"),
        (2, ["a </answer_1> b"], "", "answer 1 holds </answer_1>"),
        (2, ["a"], "see <answer_1>", "the reasoning holds a <answer_i> tag"),
        (1, ["a", "b"], "", "the one answer is the whole completion"),
        (1, ["a"], "because", "the one answer is the whole completion"),
    ],
)
def test_what_could_not_be_parsed_back_is_not_rendered(num_answers, answers, reasoning, message):
    with pytest.raises(ValueError, match=message):
        AnswerFormat(num_answers).render(answers, reasoning)


def test_one_answer_is_rendered_as_it_is():
    assert AnswerFormat(1).render([" a "]) == " a "
