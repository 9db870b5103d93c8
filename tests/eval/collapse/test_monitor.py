from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.alarms import FalseAlarms
from eval.collapse.json_form import from_json, to_json
from eval.collapse.monitor import Monitor
from eval.collapse.records import LookRecord
from eval.samples import merge
from eval.sources import PROMPT_TEMPLATE
from eval.sources.templates import HOLE
from tests.eval.collapse.stream import FORMATS, BySign, mixture

BASE, RIGHT = (0.5, 0.3, 0.2), (0.5, 0.4, 0.3)


def monitor(**options) -> Monitor:
    return Monitor([BySign()], with_vendi=False, **options)


def collapsing(step: int, rng, start: int = 4, **columns):
    """Goes to python within a few steps, and gets better at it."""
    gone = min(max(step - start, 0) / 3, 1.0)
    shares = [0.5 + 0.48 * gone, 0.3 - 0.29 * gone, 0.2 - 0.19 * gone]
    return mixture(step, shares, (0.5 + 0.2 * gone, 0.4, 0.3), rng, **columns)


def test_a_collapse_is_named_while_it_happens_and_a_steady_run_is_not():
    rng = np.random.default_rng(0)
    base = mixture(0, BASE, RIGHT, rng, prompts=128)
    falling, steady = monitor(base=base), monitor(base=base)
    for step in range(1, 13):
        falling.look(collapsing(step, rng))
        steady.look(mixture(step, BASE, RIGHT, rng))
    assert steady.alarms == []
    assert steady.verdict()[0] == "no change"
    first = falling.alarms[0]
    assert first.step in (6, 7, 8)
    assert {"format: python", "format: agreement"} & set(first.quantities)
    assert "5%" not in first.guarantee and "0.05" in first.guarantee
    assert "python" in first.why


def test_an_alarm_that_came_early_is_raised_again_once_it_is_critical():
    """Of fewer than 64 prompts a look, half of what the first alarm judges is from before the change."""
    rng = np.random.default_rng(13)
    watched = monitor(base=mixture(0, BASE, RIGHT, rng, prompts=256))
    for step in range(1, 11):
        watched.look(mixture(step, *((BASE, RIGHT) if step < 4 else ((1, 0, 0), (0.6, 0, 0))), rng, prompts=60))
    assert [alarm.level for alarm in watched.alarms] == ["warning", "critical"]
    first, second = watched.alarms
    assert second.look == first.look + 1
    assert set(second.quantities) <= set(first.quantities)
    assert second.log_evidence >= second.log_threshold
    assert [look.number for look in watched.looks if look.alarm] == [first.look, second.look]


def test_many_steady_runs_of_prompts_with_formats_of_their_own_raise_hardly_an_alarm():
    """64 x 8, ten looks, intra-prompt correlation of a half; 5% nominal, and evidence is conservative off the bound."""
    rng = np.random.default_rng(1)
    raised = 0
    for _ in range(40):
        watched = monitor(base=mixture(0, BASE, RIGHT, rng, spread=1.0))
        for step in range(1, 11):
            watched.look(mixture(step, BASE, RIGHT, rng, spread=1.0))
        raised += bool(watched.alarms)
    assert raised <= 4  # of 40 at 5%: more has probability .05


def test_shares_sum_to_one_and_bands_hold_the_estimates():
    rng = np.random.default_rng(2)
    watched = monitor(base=mixture(0, BASE, RIGHT, rng))
    record = watched.look(mixture(1, BASE, RIGHT, rng))
    shares = record.shares["format"]
    assert sum(each.est for each in shares.values()) == pytest.approx(1.0)
    assert all(each.lo <= each.est <= each.hi for each in shares.values())
    assert record.accuracy["format"].keys() == set(FORMATS)
    assert set(record.pass_at_k) == {"1", "2", "4", "8"}
    assert record.pass_at_k["1"].base is None  # other prompts than the base's
    assert from_json(LookRecord, to_json(record)) == record


def test_pass_at_k_is_paired_where_the_base_has_the_prompts():
    rng = np.random.default_rng(3)
    names = [f"p{i}" for i in range(64)]
    watched = monitor(base=mixture(0, BASE, RIGHT, rng, names=names), prompts="panel")
    record = watched.look(mixture(1, BASE, (0.9, 0.9, 0.9), rng, names=names))
    assert record.pass_at_k["1"].difference.lo > 0.3
    assert any(each.kind == "paired coverage" for each in watched.reference.quantities)


def test_on_a_panel_completions_are_units_and_a_change_is_seen_sooner():
    names = [f"p{i}" for i in range(16)]
    found = {}
    for prompts in ("fresh", "panel"):
        rng = np.random.default_rng(4)
        watched = monitor(base=mixture(0, BASE, RIGHT, rng, names=names), prompts=prompts)
        for step in range(1, 20):
            watched.look(mixture(step, (0.9, 0.06, 0.04), RIGHT, rng, names=names))
        found[prompts] = watched.looks[3].log_evidence
    assert found["panel"] > found["fresh"] + 2


def test_without_base_samples_the_first_look_is_the_reference_and_no_evidence():
    rng = np.random.default_rng(5)
    watched = monitor()
    first = watched.look(mixture(0, BASE, RIGHT, rng))
    assert first.evidence.keys() <= {each.name for each in watched.reference.quantities}
    assert first.state["gains"] == {}
    assert watched.base_record is None
    assert "first look" in watched.reference.warnings[-1]
    for step in range(1, 10):
        watched.look(collapsing(step, rng, start=0))
    assert watched.alarms


def test_a_look_that_was_sampled_otherwise_is_no_evidence():
    rng = np.random.default_rng(6)
    cold, warm = {"temperature": 0.7}, {"temperature": 1.0}
    watched = monitor(base=mixture(0, BASE, RIGHT, rng, sampling=warm))
    watched.look(mixture(1, BASE, RIGHT, rng, sampling=warm))
    before = watched.looks[-1].evidence
    record = watched.look(mixture(2, (1.0, 0, 0), RIGHT, rng, sampling=cold))
    assert record.evidence == before
    assert "temperature from 1.0 to 0.7" in record.warnings[0]
    for step in range(3, 9):
        watched.look(mixture(step, (1.0, 0, 0), RIGHT, rng, sampling=cold))
    assert watched.alarms == []


def test_a_reward_function_that_changes_in_the_middle_is_refused():
    rng = np.random.default_rng(7)
    watched = monitor()
    watched.look(mixture(0, BASE, RIGHT, rng))
    other = dataclasses.replace(mixture(1, BASE, RIGHT, rng), components=("score",))
    with pytest.raises(ValueError, match=r"step 1 has components \['score'\], before there were \['correct'\]"):
        watched.look(other)


def test_a_resumed_monitor_goes_on_as_if_nothing_had_happened():
    whole, again = [], []
    for stop in (None, 5):
        rng = np.random.default_rng(8)
        watched = monitor(base=mixture(0, BASE, RIGHT, rng, prompts=128))
        for step in range(1, 12):
            if step == stop:
                first = watched
                watched = monitor(base=first.base)
                watched.watch(first.reference)
                records = [from_json(LookRecord, to_json(each)) for each in first.looks]
                watched.resume(records, first.alarms)
            watched.look(collapsing(step, rng))
        (whole if stop is None else again).append(watched)
    assert [look.evidence for look in whole[0].looks] == [look.evidence for look in again[0].looks]
    assert [alarm.step for alarm in whole[0].alarms] == [alarm.step for alarm in again[0].alarms]
    assert whole[0].looks == again[0].looks


def test_looks_of_several_steps_hold_all_of_their_samples():
    rng = np.random.default_rng(9)
    steps = [mixture(step, BASE, RIGHT, rng, prompts=16) for step in range(7)]
    watched = monitor(every=3, base=mixture(0, BASE, RIGHT, rng))
    for samples in steps:
        watched.look(samples)
    watched.finish()
    assert [look.num_samples for look in watched.looks] == [384, 384, 128]
    assert [look.step for look in watched.looks] == [2, 5, 6]
    assert watched.num_samples == sum(map(len, steps))
    together = merge(steps[:3])
    assert len(set(together.completions.tolist())) == len(together)


def test_labels_never_depend_on_rewards():
    rng = np.random.default_rng(10)
    samples = mixture(1, BASE, RIGHT, rng)
    wrong = dataclasses.replace(samples, rewards=1 - samples.rewards)
    first, second = monitor(), monitor()
    assert first.look(samples).shares == second.look(wrong).shares


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_any_small_look_has_a_record_that_json_can_hold(seed, prompts, group, kinds):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(3))
    watched = monitor()
    for step in range(kinds):
        record = watched.look(mixture(step, shares, rng.random(3), rng, prompts=prompts, group=group))
        assert from_json(LookRecord, to_json(record)) == record
    verdict, why = watched.verdict()
    assert verdict in ("insufficient data", "no change", "nothing to collapse")
    assert why


def test_a_rate_for_a_known_number_of_looks_and_a_run_length_are_said_in_the_guarantee():
    rng = np.random.default_rng(11)
    for false_alarms, words in (
        (FalseAlarms(rate=0.01, looks=50), "at most 0.01 over 50 looks"),
        (FalseAlarms(rate=None, run_length=1000), "1000 looks or more on average"),
    ):
        watched = monitor(base=mixture(0, BASE, RIGHT, rng), false_alarms=false_alarms)
        watched.look(mixture(1, BASE, RIGHT, rng))
        assert words in watched.guarantee


def test_facets_need_a_format_among_them():
    with pytest.raises(ValueError, match="expected names that differ, 'format' among them"):
        Monitor([])


def test_an_edited_prompt_template_stops_the_evidence_and_one_of_another_log_only_warns():
    rng = np.random.default_rng(12)
    old, new = (f"{text}{HOLE} Answer." for text in ("You are a helpful assistant. ", "Think step by step, please. "))
    base = mixture(0, BASE, RIGHT, rng, sampling={PROMPT_TEMPLATE: new})
    watched = monitor(base=base)
    for step in range(1, 4):
        watched.look(mixture(step, BASE, RIGHT, rng, sampling={PROMPT_TEMPLATE: old}))
    assert "against the first look" in watched.reference.warnings[-1]
    assert all(look.state["gains"] and not look.warnings for look in watched.looks)
    edited = watched.look(mixture(4, (1, 0, 0), RIGHT, rng, sampling={PROMPT_TEMPLATE: new}))
    assert edited.state["gains"] == {} and "template" in edited.warnings[0]
