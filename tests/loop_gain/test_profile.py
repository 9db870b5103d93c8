"""The books of the gain profile: difficulty, repairs and breaks, the same data for all, targets, and going on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # where a benchmark finds its parts

import gain_profile
from loop_gain import training
from loop_gain.models import ARMS, CAP, LOOPS, RANDOM
from loop_gain.reading import DEEPEST, bookkeeping, read
from loop_gain.tables import CAPTIONS, UNTRAINED, accuracy, cell, gain, targets_of, turns
from loop_gain.tasks import LONGEST, STRATA, Work, difficulty, draw, draw_test
from loop_gain.training import Plan, call, length_at, train

from vpo.looped import FixedDepth

TINY = Plan(updates=6, width=16, batch=4)


# --- difficulty -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6))
def test_the_difficulty_of_a_digit_is_how_far_back_its_carry_was_decided(seed):
    work = draw("addition", 4, 12, torch.Generator().manual_seed(seed))
    for ids, labels, hard in zip(
        work.ids.tolist(), work.labels.tolist(), difficulty("addition", work.ids), strict=True
    ):
        for place in range(1, 13):
            decided = place - int(hard[place - 1])
            assert all(ids[between] == 9 for between in range(decided + 1, place))
            assert decided == 0 or ids[decided] != 9
            carry = decided > 0 and ids[decided] >= 10
            assert labels[place] == (ids[place] + carry) % 10


def test_the_difficulty_of_a_product_is_its_factors():
    work = draw("a5", 3, 8, torch.Generator().manual_seed(0))
    assert difficulty("a5", work.ids).tolist() == [list(range(1, 9))] * 3


@pytest.mark.parametrize("task", STRATA)
def test_a_test_counts_as_many_tokens_of_every_stratum_and_each_once(task):
    work = draw_test(task, 40, seed=1)
    assert work.ids.shape == work.counts.shape == (40, LONGEST[task] + 1) and not work.counts[:, 0].any()
    hard = difficulty(task, work.ids)[work.counts[:, 1:]]
    each = torch.stack([(hard >= low) & (hard <= high) for low, high in STRATA[task]])
    assert each.sum(1).tolist() == [len(hard) // 4] * 4 and (each.sum(0) == 1).all()
    assert len(hard) == (40 if task == "addition" else 320)


def test_who_knows_no_carry_is_right_in_half_of_each_stratum():
    work = draw_test("addition", 800, seed=2)
    assert work.counts[:, -1].all() and work.counts.sum() == 800
    blind = (work.ids % 10 == work.labels)[:, -1]
    hard = difficulty("addition", work.ids)[:, -1]
    assert (hard < LONGEST["addition"]).all()  # the start decides none
    for low, high in STRATA["addition"]:
        assert blind[(hard >= low) & (hard <= high)].double().mean().item() == pytest.approx(0.5, abs=0.12)


def test_too_few_sequences_of_a_stratum_are_refused(monkeypatch):
    monkeypatch.setitem(STRATA, "addition", ((1, 3), (13, 14)))
    with pytest.raises(ValueError, match="expected 4 each"):
        draw_test("addition", 8, seed=0)


# --- repairs and breaks -----------------------------------------------------------------------------------------------


def test_repairs_and_breaks_by_hand():
    right = np.array([[0, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1]], dtype=bool)  # (loops, tokens)
    found = bookkeeping(right, np.array([1, 1, 2, 2]), ((1, 1), (2, 2)))
    assert found["accuracy"] == [0.5, 0.5, 0.5]
    assert found["repaired"] == [None, 0.25, 0.25]  # token 1; then token 4
    assert found["broken"] == [None, 0.25, 0.25]  # token 4; then token 2
    assert found["ever"] == 0.75 and found["tokens"] == 4
    assert found["strata"]["1-1"]["accuracy"] == [0.5, 1.0, 0.5]
    assert found["strata"]["2-2"]["broken"] == [None, 0.5, 0.0]


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_the_gain_of_a_loop_is_what_it_repairs_less_what_it_breaks(loops, tokens, seed):
    rng = np.random.default_rng(seed)
    right, hard = rng.random((loops, tokens)) < 0.5, rng.integers(1, 5, tokens)
    strata = tuple((int(each), int(each)) for each in np.unique(hard))
    found = bookkeeping(right, hard, strata)
    for part in (found, *found["strata"].values()):
        for loop in range(1, loops):
            bought = part["accuracy"][loop] - part["accuracy"][loop - 1]
            assert bought == pytest.approx(part["repaired"][loop] - part["broken"][loop])
    for loop in range(loops):
        parts = [part["accuracy"][loop] * part["tokens"] for part in found["strata"].values()]
        assert sum(parts) == pytest.approx(found["accuracy"][loop] * tokens)


@pytest.mark.parametrize("name", ["4 loops", "PLT, 4 loops", "4 loops, shift only", "4 loops, frozen cache only"])
@torch.no_grad()
def test_reading_after_a_loop_is_running_so_many_loops(name):
    """One long run, read after each loop, against a call of the model for every depth."""
    model = training.new_model(ARMS[name], 16, 0).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    work = draw("a5", 40, 8, torch.Generator().manual_seed(2))
    answers = call(model, work, FixedDepth(3)).logits.argmax(-1)
    everywhere = torch.ones_like(work.ids, dtype=torch.bool)
    everywhere[:, 0] = False
    known = Work(work.ids, answers, work.mask, everywhere)  # what it says after three loops is right, and nothing else
    found = read(model, known, "a5")
    for loop in range(1, DEEPEST + 1):
        same = (call(model, work, FixedDepth(loop)).logits.argmax(-1) == answers)[:, 1:].double().mean().item()
        assert found["accuracy"][loop - 1] == pytest.approx(same)
    assert found["accuracy"][2] == 1.0 and found["accuracy"][0] < 1.0
    assert found["kl"][0] is None and all(move > 0 for move in found["kl"][1:])


# --- training ---------------------------------------------------------------------------------------------------------


def test_every_arm_sees_the_same_sequences_in_the_same_order(tmp_path, monkeypatch):
    seen: dict[str, list] = {}
    real = training.draw
    for name in ("1 loop", RANDOM, "PLT, 2 loops"):
        drawn = seen.setdefault(name, [])
        monkeypatch.setattr(training, "draw", lambda *a, drawn=drawn: drawn.append(real(*a)) or drawn[-1])
        train("a5", name, ARMS[name], 0, TINY, tmp_path)
    first, *rest = seen.values()
    assert len(first) == TINY.updates_of("a5", ARMS["1 loop"]) > 1
    assert all(torch.equal(a.ids, b.ids) for other in rest for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("task", STRATA)
def test_lengths_grow_to_the_longest_and_stay(task):
    lengths = [length_at(task, step / 100) for step in range(100)]
    assert lengths == sorted(lengths) and lengths[0] == 2 and set(lengths[40:]) == {LONGEST[task]}


def test_a_profile_is_made_once_and_another_plan_makes_it_anew(tmp_path):
    job = ("addition", "2 loops", 0, TINY, 8, tmp_path)
    first = gain_profile.profile(*job)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert len(kept) == 2 and gain_profile.profile(*job) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == kept
    (tmp_path / "profiles" / "addition-2_loops-0.json").unlink()
    assert gain_profile.profile(*job) == first  # read again from the model that was kept
    assert not gain_profile.is_done("addition", 0, TINY, 8, tmp_path)
    gain_profile.profile("addition", "2 loops", 0, Plan(updates=10, width=16, batch=4), 8, tmp_path)
    assert all(path.stat().st_mtime_ns > before for path, before in kept.items() if path.suffix == ".pt")


# --- tables and targets -----------------------------------------------------------------------------------------------


def result_with(**curves: list[float]) -> dict:
    """A result in which every arm is right as often as ``curves`` says by name, or half of the time."""

    def arm(name: str) -> dict:
        curve = curves.get(name.replace(" ", "_").replace(",", ""), [0.5] * DEEPEST)
        part = {"accuracy": curve, "repaired": [None, *[0.02] * 7], "broken": [None, *[0.01] * 7], "tokens": 10}
        numbers = {key: [None, *[0.25] * 7] for key in ("kl", "cosine", "oscillating", "residual")}
        trained = ARMS[name].loops if name in ARMS else 1
        facts = {"weights": 1000, "compute": 1.0, "trained loops": trained, "strata": {"1-2": part}}
        return {**part, **numbers, **facts}

    return {"task": "a5", "seed": 0, "arms": {name: arm(name) for name in (*ARMS, UNTRAINED)}}


def test_gains_are_between_models_trained_apart_or_within_one():
    arms = result_with(**{"2_loops": [0.1, 0.7, 0.2] + [0.0] * 5, "random_depth": [0.3, 0.6] + [0.6] * 6})["arms"]
    assert accuracy(arms, "2 loops") == pytest.approx(70)
    assert gain(arms, list(LOOPS), 2) == pytest.approx(20) and gain(arms, list(LOOPS), 3) == pytest.approx(-20)
    assert gain(arms, [RANDOM], 2, "1-2") == pytest.approx(30)


def test_targets_measure_what_they_say():
    seeds = [
        result_with(
            **{
                "1_loop": [0.5] * 8,
                "2_loops": [0.5, 0.7] + [0.0] * 6,
                "3_loops": [0.7] * 8,
                "4_loops": [0.5, 0.6, 0.7, 0.9, 0.9, 0.9, 0.9, 0.5 + tilt],
                "random_depth": [0.48, 0.66, 0.71, 0.88, 0.88, 0.88, 0.88, 0.86],
                "PLT_2_loops": [0.6] * 8,
                "PLT_4_loops": [0.55 + tilt] * 8,
            }
        )
        for tilt in (-0.01, 0.01)
    ]
    figures = {target.name.removeprefix("a5: "): target for target in targets_of({"a5": seeds})}
    expected = {
        "points that random depth loses from 4 to 8 loops": 2.0,
        "points that 4 loops alone lose from 4 to 8, beyond what random depth loses": 38.0,
        "points that random depth at 1 is behind the model of 1 alone": 2.0,
        "points that random depth at 2 is behind the model of 2 alone": 4.0,
        "points that random depth at 3 is behind the model of 3 alone": -1.0,
        "points that random depth at 4 is behind the model of 4 alone": 2.0,
        "share of four loops' gain that two bring, trained apart": 0.5,
        "share of four loops' gain that two bring, random depth": 0.45,
        "points of PLT's loops 3 and 4 beyond its loop 2": -5.0,
        "points that PLT of two loops is behind two plain loops": 10.0,
    }
    for name, figure in expected.items():
        assert figures[name].figure == pytest.approx(figure, abs=1e-4), name
    assert not figures["points that random depth loses from 4 to 8 loops"].ok
    assert figures["points that random depth at 3 is behind the model of 3 alone"].ok


def test_a_cell_is_a_mean_with_its_error_and_says_when_there_is_none():
    assert cell([1.0, 2.0, 3.0]) == "2.0 (0.6)"
    assert cell([None, float("nan")]) == "-" and cell([0.5], 2, signed=True) == "+0.50"


def test_every_table_is_one_and_turns_are_of_a_hundred_tokens():
    results = [result_with(), result_with()]
    for make in CAPTIONS:
        head, *rows = [line.count("|") for line in make(results).splitlines()]
        assert rows and set(rows) == {head}
    assert "| 4 loops | 2.0 (0.0) / 1.0 (0.0) |" in turns(results)
    assert len(turns(results).splitlines()[0].split("|")) == DEEPEST + 2 and len(LOOPS) == CAP
