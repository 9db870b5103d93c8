from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vpo.tasks.task_rows import TOOL_TURNS, deepcoder_rows, eureqa_row, musique_row, toolrl_row, write_rows
from vpo.tasks import get_task, task
from vpo.tasks.check import check_task
from vpo.tasks.hostile import damaged, hostile_answers

ROWS = [{"prompt": "p", "best": "<x>red 1</x>"}]


def own(score, **options):
    return task(components=("a", "b"), data="none.jsonl", answer="best", **options)(score)


def failures(score, rows=ROWS, **options):
    return check_task(own(score, **options), rows).failures


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "musique" / "train.jsonl", [musique_row(hops, i) for i, hops in enumerate((2, 3, 4))])
    write_rows(tmp_path / "eureqa" / "questions_normal_5.jsonl", [eureqa_row(i) for i in range(3)])
    write_rows(tmp_path / "toolrl" / "train.jsonl", [toolrl_row(turn) for turn in TOOL_TURNS])
    write_rows(tmp_path / "code" / "train.jsonl", deepcoder_rows())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("musique", {}),
        ("eureqa", {"split_rule": "normal_to_hard"}),
        ("toolrl", {}),
        ("toolrl", {"rules": "toolrl"}),
        ("code", {"runner": lambda code, tests: ["ok" if "print" in code else "error"] * len(tests)}),
        ("maze", {}),
        ("maze", {"wording": "chat", "notation": "directions"}),
    ],
)
def test_every_task_is_fit(name, options, folder):
    options = options if name == "maze" else {"path": str(folder / name), **options}
    found = get_task(name, **options)
    report = check_task(found, list(found.dataset("train", 3, 1)))
    assert report.failures == []
    assert report.num_references == ((0, 0) if name == "maze" else (3, 1 if name == "code" else 3))
    assert all(span is None or span == (0, 1) for span in report.ranges[:1])
    assert report.geometry is not None and report.answers_per_s > 0
    assert report.slowest[1] < 20  # a scorer that takes more than linear time would need hours


def test_ranges_references_and_remarks_are_what_was_seen():
    report = check_task(own(lambda answer, row: (answer == row["best"], 0.5)), ROWS)
    assert report.ranges == [(0, 1), (0.5, 0.5)]
    assert report.num_references == (1, 0)
    assert any("earn less than 1" in remark for remark in report.remarks)
    assert any("component 'b' is 0.5 for all of the damaged reference answers" in remark for remark in report.remarks)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda answer, row: (1 / len(answer), 0), "score raised ZeroDivisionError for nothing"),
        (lambda answer, row: (answer.encode() == b"", 0), "score raised UnicodeEncodeError for half a surrogate pair"),
        (lambda answer, row: (float(int(answer) if answer.isdigit() else 0), 0), "for a number of 5,000 digits"),
        (lambda answer, row: (0, math.nan), "expected finite numbers"),
        (lambda answer, row: (0, math.inf), "expected finite numbers"),
        (lambda answer, row: (0,), "returned 1 values"),
        (lambda answer, row: (0, row["away"]), "score raised KeyError"),
    ],
)
def test_a_scorer_that_fails_at_an_answer_is_found(score, message):
    assert any(message in failure for failure in failures(score))


def test_what_trips_only_the_inner_layers_is_reached_through_the_tags_of_the_reference():
    def score(answer, row):
        inside = answer.partition("<x>")[2].partition("</x>")[0]
        return (float(inside) if inside.replace(".", "").isdigit() else 0.0, 0.0)  # a superscript two is a digit

    assert any(
        "each tag filled with digits that are none" in failure or "5,000" in failure for failure in failures(score)
    )


def test_a_vector_and_a_scalar_are_told_apart_although_some_damage_leaves_the_answer_perfect():
    rows = [{"prompt": "p", "best": f"<x>red{i}</x><y>fox{i}</y>"} for i in range(12)]

    def parts(answer, row):  # each tag by itself, and both by the first alone
        wanted = row["best"].split("</x>")
        found = [*answer.split("</x>"), ""][:2]
        return found[0] == wanted[0], found[1] == wanted[1]

    def once(answer, row):
        return (parts(answer, row)[0],) * 2

    assert check_task(own(parts), rows).geometry.verdict == "vector"
    assert check_task(own(once), rows).geometry.verdict in ("scalar", "undecided")


def test_reward_functions_that_disagree_with_the_scorer_are_found():
    class Split:
        name, components, w_star, tag = "split", ("a", "b"), (0.5, 0.5), "answer"

        def dataset(self, *arguments):
            raise NotImplementedError

        def score(self, answer, row):
            return (0.0, 1.0)

        def reference(self, row):
            return None

        @property
        def reward_funcs(self):
            async def first(prompts, completions, **columns):
                return [1.0] * len(completions)

            return [first, lambda prompts, completions, **columns: [0.0] * len(completions)]

    report = check_task(Split(), ROWS)
    assert any("the reward functions returned [1.0, 0.0]" in failure for failure in report.failures)
    assert report.geometry is None and report.measured_on == ""


def test_weights_that_do_not_fit_are_found_and_no_rows_are_an_error():
    base = own(lambda answer, row: (0, 0))
    assert "w_star has 1 weights for 2 components." in check_task(replace(base, w_star=(0.5,)), ROWS).failures
    assert any("sum to 1" in failure for failure in check_task(replace(base, w_star=(0.5, 0.6)), ROWS).failures)
    with pytest.raises(ValueError, match="there are no rows to check a task on"):
        check_task(base, [])


@given(st.integers(0, 1000))
def test_damage_keeps_the_tags_and_changes_words_alone(seed):
    reference = "<support>3, 7</support>\n<answer>The Lyon Opera</answer>"
    found = damaged(reference, [reference, "<x>other words</x>"], random.Random(seed))
    for part in ("<support>", "</support>\n<answer>", "</answer>", ", "):
        assert part in found
    assert len(found.split()) == len(reference.split())


def test_hostile_answers_include_the_empty_the_huge_and_the_malformed():
    answers = hostile_answers("response", ["<support>3</support>"])
    assert "" in answers.values()
    assert max(map(len, answers.values())) >= 1_000_000
    assert any("\ud800" in answer for answer in answers.values())
    assert answers["each tag filled with null"] == "<support>null</support>"
    assert answers["1 MB of opening tags"].startswith("<support><support>")
