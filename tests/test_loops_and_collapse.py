"""The task of benchmarks/loops_and_collapse.py, against products worked out otherwise, and its bookkeeping."""

from __future__ import annotations

import random
import sys
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.checkout import ROOT
from vpo.looped import FixedDepth

sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from arrows.measuring import ANSWERS, count_loops, held_out, means, rewards_of
from arrows.report import bought, kept, lost, per_stratum, share_of_loops, smallest_good
from arrows.task import MIXED, NODES, STARTS, STRATA, Arrows, ArrowsTask, random_arrows
from arrows.training import CAP, Lessons, calibrate, lessons, new_policy, right_ends

TASK = ArrowsTask()
seeds = st.integers(0, 2**32)


def at_cap(model: Any, forms: list[Lessons]) -> list[float]:
    return [right_ends(model, form, FixedDepth(CAP)) for form in forms]


def tables(count: int) -> list[Arrows]:
    return list(islice(TASK.examples("test"), count))


@given(seeds, st.sampled_from(STARTS), st.sampled_from(NODES))
def test_an_answer_is_right_where_the_fourth_power_of_the_arrows_leads(seed: int, start: str, end: str) -> None:
    arrows = random_arrows(random.Random(seed))
    step = np.zeros((len(NODES), len(NODES)), dtype=int)  # the arrows as a matrix: a walk is a product
    for here, there in enumerate(arrows.table[len(STARTS) :]):
        step[here, there] = 1
    place = STARTS.index(start)
    ends = np.eye(len(NODES), dtype=int)[arrows.table[place]] @ np.linalg.matrix_power(step, len(NODES))
    is_right = NODES[int(ends.argmax())] == end
    expected = [0.0, 0.0, 0.0]
    expected[int(start[1:]) // 2 + int(start[1:]) % 2 - 1] = float(is_right)
    assert list(TASK.score(f"{start} {end}", TASK.row(arrows, 1))) == expected


@given(seeds)
def test_walks_are_as_long_as_the_stratum_says_and_end_where_the_chain_does(seed: int) -> None:
    arrows = random_arrows(random.Random(seed))
    walks = [arrows.walk(start) for start in range(len(STARTS))]
    lengths = tuple(map(len, walks))
    assert lengths == MIXED if arrows.stratum == "mixed" else {f"alike {n}" for n in lengths} == {arrows.stratum}
    points_to = arrows.table[len(STARTS) :]
    assert sum(node == there for node, there in enumerate(points_to)) == 4
    assert all(points_to[walk[-1]] == walk[-1] for walk in walks)
    assert all(points_to[a] == b for walk in walks for a, b in pairwise(walk))


@given(st.text() | st.lists(st.sampled_from([*STARTS, *NODES, "walks"])).map(" ".join))
def test_any_text_has_a_score_and_only_two_words_can_be_right(answer: str) -> None:
    reward = TASK.score(answer, TASK.row(tables(1)[0], 1))
    assert len(reward) == 3 and set(reward) <= {0.0, 1.0} and (not any(reward) or len(answer.split()) == 2)


def test_the_teacher_is_right_the_prompt_holds_the_table_and_the_splits_share_none() -> None:
    _, tokenizer = new_policy(0)
    for arrows in tables(20):
        for m in (1, 3):
            text = TASK.teacher_completion(arrows, m, random.Random(1))
            answers = TASK.answer_format(m).parse(text).answers
            assert len(answers) == m and all(sum(TASK.score(each, TASK.row(arrows, m))) == 1 for each in answers)
            prompt = TASK.prompt(arrows, m)
            assert [NODES.index(word) for word in prompt.split()[:-2]] == list(arrows.table)
            assert len(prompt.split()) == TASK.prompt_tokens
            assert len(text.split()) + 1 == TASK.completion_tokens(m)
            assert tokenizer.unk_token_id not in tokenizer(prompt + text)["input_ids"]
    train = {arrows.table for arrows in islice(TASK.examples("train"), 2000)}
    assert not train & {arrows.table for arrows in tables(200)}
    with pytest.raises(ValueError, match="dev"):
        next(TASK.examples("dev"))


def test_lessons_ask_for_the_node_that_so_many_loops_reach() -> None:
    _, tokenizer = new_policy(0)
    batch = lessons(random.Random(0), 6, "train", tokenizer)
    loops = torch.tensor([1, 2, 3, 4, 4, 7])
    targets = batch.targets(loops)
    assert (targets[:, : batch.prompt - 1] == -100).all()
    for row, count in enumerate(loops.tolist()):
        words = tokenizer.decode(batch.ids[row]).split()
        table = tuple((STARTS + NODES).index(word) - len(STARTS) for word in words[: len(STARTS) + len(NODES)])
        for place in batch.places.tolist():
            walk = Arrows(table).walk(STARTS.index(words[place]))
            assert tokenizer.decode(targets[row, place]) == NODES[walk[min(count, len(walk)) - 1]]
            assert words[place + 1] == NODES[walk[-1]]
    elsewhere = [i for i in range(batch.prompt - 1, targets.shape[1]) if i not in batch.places]
    assert torch.equal(targets[:, elsewhere], batch.ids[:, 1:][:, elsewhere])


def test_the_tolerance_is_the_largest_that_costs_no_more_than_allowed_in_either_form() -> None:
    model, tokenizer = new_policy(0)
    forms = [lessons(random.Random(0), 8, "test", tokenizer, count) for count in (1, 3)]
    tol, curve = calibrate(model.eval(), forms, 1.0)
    assert tol == max(row["tol"] for row in curve)
    full = at_cap(model, forms)
    for loss in (1e-2, 1e-3, 1e-4, 1e-5):
        kept = [row["tol"] for row in curve if all(a >= b - loss for a, b in zip(row["right"], full, strict=True))]
        assert calibrate(model, forms, loss)[0] == max(kept, default=curve[0]["tol"])
    assert all(a <= b for a, b in zip(curve[0]["kl"], curve[-1]["kl"], strict=True))
    assert all(a < b <= CAP for a, b in zip(curve[-1]["loops"], curve[0]["loops"], strict=True))


def test_means_count_right_answers_by_stratum_and_kind() -> None:
    own = held_out(16)
    assert [sum(a.stratum == name for a in own) for name in STRATA] == [2, 2, 2, 2, 8]
    every = [[(TASK.answer(a, c % 6),) for c in range(ANSWERS)] for a in own]
    oracle = means(own, every, 1)["all"]
    assert oracle["right"] == 1 and oracle["distinct"] == 6
    assert oracle["kinds"] == pytest.approx([1 / 3] * 3) and oracle["best"] == pytest.approx(11 / 18, abs=0.04)
    near = [[(TASK.answer(a, 0), "s1 nowhere", "")] * 8 if a.stratum == "mixed" else [()] * 8 for a in own]
    found = means(own, near, 3)
    assert found["mixed"]["right"] == pytest.approx(1 / 3) and found["alike"]["right"] == 0
    assert found["mixed"]["kinds"] == [1, 0, 0] and found["mixed"]["distinct"] == 1
    assert rewards_of(own, near, 3).shape == (16, 8, 3, 3)


def test_loops_of_tables_and_answers_are_counted_apart() -> None:
    model, _ = new_policy(0)
    counted = count_loops(model)
    ids = torch.ones(2, 5, dtype=torch.long)
    with torch.no_grad():
        out = model(ids, depth_policy=FixedDepth(3), use_cache=True)
        model(ids[:, :1], past_key_values=out.past_key_values, depth_policy=FixedDepth(2), use_cache=True)
    assert counted() == {"loops": pytest.approx(34 / 12), "table loops": 3, "answer loops": 2}
    with torch.no_grad():
        model(ids, depth_policy=FixedDepth(1), use_cache=False)
    assert counted()["loops"] == pytest.approx(34 / 12)


def made_up(policy: str, right: tuple[float, ...], seed: int = 0) -> dict:
    """A policy whose right answers at 1 to 4 loops are ``right``, one loop fewer being as good in easy strata."""
    depths: dict = {}
    for depth, value in zip(("1", "2", "3", "4", "chosen"), (*right, right[-1] - 0.01), strict=True):
        cell = {"right": value, "best": value / 2, "few": value / 3, "loops": 2.0}
        depths[depth] = {name: dict(cell) for name in ("all", "alike", *STRATA)}
    for depth in depths:
        depths[depth]["alike 1"]["right"] = 0.9
    return {"policy": policy, "seed": seed, "depths": depths}


def test_what_loops_buy_and_chosen_depth_spends() -> None:
    start = made_up("start, one answer", (0.2, 0.5, 0.8, 0.8))
    assert bought(start, "right") == pytest.approx(0.6)
    assert smallest_good(start) == 3 and smallest_good(start, "alike 1") == 1
    assert share_of_loops(start) == pytest.approx(2 / 3) and lost(start) == pytest.approx(0.01)
    assert per_stratum(start) == pytest.approx(0.5 * 3 + 0.125 * (1 + 3 + 3 + 3))
    collapsed = made_up("GRPO", (0.5, 0.8, 0.8, 0.8))
    other = [made_up("start, one answer", (0.1, 0.1, 0.1, 0.5), 1), made_up("GRPO", (0.1, 0.1, 0.1, 0.3), 1)]
    assert kept([start, collapsed, *other], "GRPO", "right") == pytest.approx([0.5, 0.5])
    assert kept([start, collapsed], "GRPO", "best") == pytest.approx([0.5])
