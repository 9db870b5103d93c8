"""ToolRL's two readings, on turns judged by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vpo.tasks.task_rows import TOOL_TURNS, tool_turn, toolrl_row, write_rows
from vpo.tasks import get_task

RELEASED, TOOLRL = get_task("toolrl"), get_task("toolrl", rules="toolrl")
GOLD = tool_turn(("search", {"query": "red fox", "limit": 5}), ("open", {"page": 2, "new": True}))


def released(turn: str, gold: str = GOLD):
    return RELEASED.score(turn, {"ground_truth": gold})


def toolrl(turn: str, gold: str = GOLD):
    return TOOLRL.score(turn, {"ground_truth": gold})


@pytest.mark.parametrize(
    ("turn", "vector"),
    [
        (GOLD, (1, 1, 1, 1)),
        (GOLD.replace("<think>", "").replace("</think>", ""), (0, 1, 1, 1)),  # no thinking, no format
        # One of two calls: names 2*1/(1+2) = 2/3; the missing one has 0 keys and values: (1 + 0) / 2.
        (tool_turn(("search", {"query": "red fox", "limit": 5})), (1, 2 / 3, 1 / 2, 1 / 2)),
        # A third call: names 2*2/(3+2) = 4/5; it is a pair with nobody: 2/3.
        (
            tool_turn(("search", {"query": "red fox", "limit": 5}), ("open", {"page": 2, "new": True}), ("x", {})),
            (1, 4 / 5, 2 / 3, 2 / 3),
        ),
        # A key too many is a matter of keys (2*2/(3+2) = 4/5), a missing one of values as well (2*1/(1+2) = 2/3; 1/2).
        (
            tool_turn(("search", {"query": "red fox", "limit": 5, "lang": "en"}), ("open", {"page": 2})),
            (1, 1, (4 / 5 + 2 / 3) / 2, (1 + 1 / 2) / 2),
        ),
        # Half of the words of a text: F1 of "red" and "red fox" is 2/3; the number as text is right, 6 is not.
        (
            tool_turn(("search", {"query": "RED!", "limit": "5.0"}), ("open", {"page": 6, "new": "true"})),
            (1, 1, 1, ((2 / 3 + 1) / 2 + (0 + 1) / 2) / 2),
        ),
        (tool_turn(reply="No."), (0, 0, 0, 0)),
        ("<think></think><tool_call>{oops</tool_call>", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_the_papers_reading_by_hand(turn, vector):
    assert released(turn) == pytest.approx(vector)


def test_a_turn_that_should_only_reply_is_spoilt_by_a_call():
    gold = tool_turn(reply="Hello.")
    assert released(tool_turn(reply="Anything."), gold) == (1, 1, 1, 1)
    assert released(tool_turn(("search", {"query": "x"})), gold) == (0, 0, 0, 0)
    assert released("Anything.", gold) == (0, 1, 1, 1)
    assert toolrl(tool_turn(reply="Anything."), gold) == (1, 1, 1, 1)
    assert toolrl(tool_turn(("search", {"query": "x"})), gold) == (0, 1, 1, 1)  # its scorer judges no calls then


@pytest.mark.parametrize(
    ("ours", "theirs", "value"),
    [
        (True, "Paris", 0),  # released code: any text that is not empty is true
        (True, True, 1),
        ("True", True, 1),
        (False, True, 0),
        ({"a": 1}, {"a": 2, "b": 3}, 0),  # released code: 2/3, from the keys alone
        ({"a": 2}, {"a": 2, "b": 3}, 0.5),
        ([1, 2], [2, 1], 1),
        ([1], [1, 2], 2 / 3),
        (1, [1], 1),
        ("1,000", 1000, 1),
        (5.0, 5, 1),
        (None, None, 1),
        ("1e999", 5, 0),
    ],
)
def test_values_are_compared_by_their_kind(ours, theirs, value):
    gold = tool_turn(("f", {"x": theirs}))
    assert released(tool_turn(("f", {"x": ours})), gold)[3] == pytest.approx(value)


def test_lenient_reading_takes_arrays_and_arguments_and_stops_at_what_is_no_json():
    gold = tool_turn(("f", {"x": 1}), ("g", {}))
    calls = [{"name": "f", "arguments": {"x": 1}}, {"name": "g", "parameters": {}}]
    assert released(f"<think></think><tool_call>{json.dumps(calls)}</tool_call>", gold) == (1, 1, 1, 1)
    one_line = "".join(json.dumps(call) for call in calls)
    assert released(f"<think></think><tool_call>{one_line}</tool_call>", gold) == (1, 1, 1, 1)
    assert released(f"<think></think><tool_call>{json.dumps(calls[0])} and {one_line}</tool_call>", gold)[1] == 2 / 3


@pytest.mark.parametrize(
    ("turn", "vector", "own_score"),
    [
        (GOLD, (1, 1, 1, 1), 1),
        # One of two calls: names 1/2; keys (1 + 0) / 2; 2 of 4 values. ToolRL: (1/2 + 1 + 2) / (1 + 2 + 4).
        (tool_turn(("search", {"query": "red fox", "limit": 5})), (1, 1 / 2, 1 / 2, 2 / 4), 3.5 / 7),
        # Values to the letter: "5" is not 5. Keys 2/3 over the union. (1 + 2/3 + 1 + 1 + 2) / 7
        (
            tool_turn(("search", {"query": "red fox", "limit": "5", "lang": "en"}), ("open", {"page": 2, "new": True})),
            (1, 1, (2 / 3 + 1) / 2, 3 / 4),
            (1 + 2 / 3 + 1 + 3) / 7,
        ),
        (tool_turn(("close", {})), (1, 0, 0, 0), 0),
        (GOLD.replace("}\n{", "}{"), (1, 0, 0, 0), 0),  # two objects on a line: its scorer cannot read it
        (GOLD.replace("</think>\n", "</think>"), (0, 1, 1, 1), 1),  # the layout is to the letter
        (GOLD + "\n<response> x </response>", (0, 1, 1, 1), 1),
    ],
)
def test_toolrls_own_reading_by_hand_is_its_score_taken_apart(turn, vector, own_score):
    scored = toolrl(turn)
    assert scored == pytest.approx(vector)
    assert (scored[1] + 2 * scored[2] + 4 * scored[3]) / (1 + 2 + 4) == pytest.approx(own_score)


@pytest.mark.parametrize(
    ("turn", "laid_out"),
    [
        (TOOL_TURNS[3], 1),
        (TOOL_TURNS[3] + "x", 0),
        (TOOL_TURNS[3].replace("</tool_call>\n", "</tool_call>"), 0),
        (TOOL_TURNS[3].replace("<response>", "<response><response>"), 0),
        (TOOL_TURNS[3].replace("<think>", "<think>\n<think>"), 1),
        ("hm " + TOOL_TURNS[3], 0),
    ],
)
def test_the_layout_of_calls_and_a_reply(turn, laid_out):
    assert toolrl(turn, TOOL_TURNS[3])[0] == laid_out


CALLS = st.lists(
    st.tuples(
        st.sampled_from("fgh"), st.dictionaries(st.sampled_from("abc"), st.sampled_from([1, 2, "x y", True, [1], None]))
    ),
    max_size=4,
)


@given(CALLS, CALLS.filter(bool), st.randoms())
def test_both_readings_stay_in_range_and_give_the_wanted_calls_full_marks_in_any_order(calls, wanted, rng):
    gold = tool_turn(*wanted)
    for score in (released, toolrl):
        assert all(0 <= value <= 1 for value in score(tool_turn(*calls), gold))
        mixed = list(wanted)
        rng.shuffle(mixed)
        names = [name for name, _ in mixed]
        if len(set(names)) == len(names):  # with a name twice the pairs are found greedily, as in both codes
            assert score(tool_turn(*mixed), gold) == (1, 1, 1, 1)
        assert score(gold, gold) == (1, 1, 1, 1)


def test_rows_keep_the_system_message_and_say_that_each_answer_is_a_whole_turn(tmp_path):
    write_rows(tmp_path / "train.jsonl", [toolrl_row(turn, i) for i, turn in enumerate(TOOL_TURNS)])
    for rules in ("released", "toolrl"):
        task = get_task("toolrl", path=str(tmp_path), rules=rules)
        rows = task.dataset("train", 99, num_answers=3)
        assert all(task.score(task.reference(row), row) == (1,) * 4 for row in rows)
    assert [message["role"] for message in rows[0]["prompt"]] == ["system", "user"]
    assert "a whole turn" in rows[0]["prompt"][-1]["content"]
    assert task.dataset("train", 1, num_answers=1)[0]["prompt"][-1]["content"] == "<user> request 0 </user>"
    with pytest.raises(ValueError, match="rules is 'strict'"):
        get_task("toolrl", rules="strict")
