"""What is held against the base is what both logs know: other groups, other prompts, no rewards, no finish reasons."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eval.collapse.assemble import run_report
from eval.collapse.monitor import Monitor
from eval.facets import default_facets
from eval.samples import Samples, merge
from tests.eval.collapse.stream import BySign, mixture

BASE, RIGHT, HALF = (0.5, 0.3, 0.2), (0.5, 0.4, 0.3), (0.5, 0.5, 0.5)
NAMES = [f"p{i}" for i in range(64)]


def monitor(**options) -> Monitor:
    return Monitor([BySign()], with_vendi=False, **options)


def coverage(watched: Monitor):
    return next((each for each in watched.reference.quantities if each.kind.endswith("coverage")), None)


@pytest.mark.parametrize("prompts", ["fresh", "panel"])
def test_of_a_base_with_larger_groups_pass_at_k_is_watched_at_a_k_that_looks_have(prompts):
    rng = np.random.default_rng(0)
    watched = monitor(base=mixture(0, BASE, HALF, rng, names=NAMES, group=64), prompts=prompts)
    for step in range(1, 7):
        watched.look(mixture(step, BASE, (0.1, 0.1, 0.1), rng, names=NAMES, group=8))
    assert coverage(watched).k == 4
    assert coverage(watched).name in watched.looks[0].evidence
    assert any(coverage(watched).name in alarm.quantities for alarm in watched.alarms)


def test_of_a_panel_that_the_base_was_not_asked_pass_at_k_is_watched_unpaired():
    rng = np.random.default_rng(1)
    watched = monitor(base=mixture(0, BASE, HALF, rng), prompts="panel")
    record = watched.look(mixture(1, BASE, HALF, rng, names=NAMES))
    assert coverage(watched).kind == "coverage"
    assert coverage(watched).name in record.evidence
    assert any("of other prompts" in each for each in watched.reference.warnings)


def test_the_allowance_for_the_bases_luck_is_that_of_the_panels_prompts():
    """Of 16 prompts with two samples each, pass@1 is hardly known, however many others were asked."""
    rng = np.random.default_rng(2)
    few = mixture(0, BASE, HALF, rng, names=NAMES[:16], group=2)
    many = merge([few, mixture(0, BASE, HALF, rng, prompts=1000, group=2)])
    bounds = []
    for base in (few, many):
        watched = monitor(base=base, prompts="panel")
        watched.look(mixture(1, BASE, HALF, rng, names=NAMES[:16], group=2))
        bounds.append(coverage(watched).bound)
    assert bounds[0] == bounds[1] > 0.6


def test_a_prompt_or_two_of_the_bases_make_no_paired_difference():
    rng = np.random.default_rng(12)
    watched = monitor(base=mixture(0, BASE, HALF, rng, names=NAMES))
    few = watched.look(mixture(1, BASE, HALF, rng, names=[*NAMES[:9], *(f"new{i}" for i in range(55))]))
    half = watched.look(mixture(2, BASE, HALF, rng, names=[*NAMES[:32], *(f"new{i}" for i in range(32))]))
    assert few.pass_at_k["1"].difference is None and few.pass_at_k["1"].base is None
    assert half.pass_at_k["1"].difference is not None


def test_a_base_without_rewards_is_not_a_base_that_is_always_wrong():
    rng = np.random.default_rng(3)
    scored = mixture(0, BASE, HALF, rng)
    bare = dataclasses.replace(scored, components=(), rewards=np.zeros((len(scored), 0)))
    watched = monitor(base=bare, correct="correct")
    for step in range(1, 9):
        watched.look(mixture(step, (0.98, 0.01, 0.01), HALF, rng))
    assert watched.alarms
    verdict, why = watched.verdict()
    assert verdict == "insufficient data" and "not known" in why
    assert watched.base_record.pass_at_k == {}
    assert any("have no rewards" in each for each in watched.reference.warnings)
    assert run_report(watched, "run", "test").verdict == verdict


def test_rewards_that_are_never_known_end_in_no_verdict_and_no_crash():
    rng = np.random.default_rng(4)
    watched = monitor(correct="correct")
    for step in range(9):
        samples = mixture(step, BASE if step < 2 else (0.98, 0.01, 0.01), HALF, rng)
        watched.look(dataclasses.replace(samples, rewards=np.full_like(samples.rewards, np.nan)))
    assert watched.alarms
    assert watched.verdict()[0] == "insufficient data"


def test_a_bases_components_may_stand_in_another_order():
    rng = np.random.default_rng(5)
    base, look = (mixture(step, BASE, HALF, rng) for step in (0, 1))
    quarter = np.full_like(base.rewards, 0.25)
    base, look = (
        dataclasses.replace(base, components=("length", "correct"), rewards=np.hstack([quarter, base.rewards])),
        dataclasses.replace(look, components=("correct", "length"), rewards=np.hstack([look.rewards, quarter])),
    )
    watched = monitor(base=base, correct="correct")
    watched.look(look)
    assert watched.base_record.reward == pytest.approx({"correct": base.rewards[:, 1].mean(), "length": 0.25})


def cut_off(step: int, knows: bool, rng: np.random.Generator) -> Samples:
    """A third is cut off by the limit, and the log says so or not."""
    samples = mixture(step, BASE, HALF, rng)
    reasons = ["length" if cut else "stop" for cut in rng.random(len(samples)) < 1 / 3]
    return dataclasses.replace(samples, finish_reasons=reasons if knows else None)


@pytest.mark.parametrize("base_knows", [True, False])
def test_samples_that_are_cut_off_are_no_change_where_only_one_log_says_so(base_knows):
    rng = np.random.default_rng(6)
    watched = Monitor(default_facets(["format"]), base=cut_off(0, base_knows, rng), with_vendi=False)
    for step in range(1, 9):
        watched.look(cut_off(step, not base_knows, rng))
    assert watched.alarms == []
    assert any("say why they ended" in each for each in watched.reference.warnings)


def test_a_run_sampled_otherwise_than_its_base_has_no_verdict():
    rng = np.random.default_rng(7)
    watched = monitor(base=mixture(0, BASE, HALF, rng, sampling={"temperature": 1.0}))
    for step in range(1, 7):
        watched.look(mixture(step, (0.98, 0.01, 0.01), HALF, rng, sampling={"temperature": 0.7}))
    assert watched.verdict()[0] == "insufficient data"
    report = run_report(watched, "run", "test")
    assert any(each.when == "last" for each in report.examples)


def test_a_colder_look_does_not_take_back_what_an_alarm_named():
    rng = np.random.default_rng(8)
    warm, cold = {"temperature": 1.0}, {"temperature": 0.7}
    watched = monitor(base=mixture(0, BASE, HALF, rng, sampling=warm))
    for step in range(1, 7):
        watched.look(mixture(step, (0.98, 0.01, 0.01), HALF, rng, sampling=warm))
    before = watched.verdict()
    for step in range(7, 14):
        watched.look(mixture(step, BASE, HALF, rng, sampling=cold))
    assert watched.alarms and watched.verdict() == before


def test_the_reference_alone_is_no_verdict():
    watched = monitor()
    watched.look(mixture(0, BASE, HALF, np.random.default_rng(9)))
    verdict, why = watched.verdict()
    assert verdict == "insufficient data" and "the reference itself" in why


def test_a_guess_of_what_is_correct_outlives_partial_credit():
    rng = np.random.default_rng(10)
    watched = monitor()
    watched.look(mixture(0, BASE, (0, 0, 0), rng))
    later = mixture(1, BASE, HALF, rng)
    watched.look(dataclasses.replace(later, rewards=later.rewards + 0.5 * (later.rewards == 0)))
    assert watched.reference.correctness.words == "correct >= 1"
    assert watched.looks[1].pass_at_k["1"].now.est == pytest.approx(later.rewards.mean())


def test_a_look_of_several_steps_may_begin_before_an_answer_can_be_read():
    rng = np.random.default_rng(11)
    first, second = (mixture(step, BASE, (1, 1, 1), rng) for step in (0, 1))
    unread = dataclasses.replace(first, components=(), rewards=first.rewards[:, :0])
    watched = monitor(every=2, correct="correct")
    watched.look(unread)
    assert watched.look(second).pass_at_k["1"].now.est == 0.5
    watched.look(dataclasses.replace(unread, step=2))
    assert watched.look(dataclasses.replace(unread, step=3)).pass_at_k["1"].now.est == 0.0


@pytest.mark.parametrize(
    ("prompts", "group", "sampling", "words"),
    [
        (1, 8, {}, "shares of labels are not watched"),
        (8, 1, {}, "how far a prompt's samples agree is not watched"),
        (8, 8, {"temperature": 0.0}, "evidence of it means nothing"),
    ],
)
def test_what_a_reference_cannot_tell_is_said(prompts, group, sampling, words):
    watched = monitor()
    watched.look(mixture(0, BASE, HALF, np.random.default_rng(14), prompts=prompts, group=group, sampling=sampling))
    assert any(words in each for each in watched.reference.warnings)


def test_a_facet_that_moves_beside_the_format_is_named_in_the_verdict():
    rng = np.random.default_rng(15)
    watched = Monitor(default_facets(["format", "length"]), with_vendi=False)
    for step in range(8):
        samples = mixture(step, BASE, HALF, rng)
        long = [text + " word" * (200 if rng.random() < (0.5 if step < 2 else 0.99) else 0) for text in samples.texts]
        varied = [f"{text[:-1]}{i}" if len(text) > 400 else text for i, text in enumerate(long)]
        watched.look(dataclasses.replace(samples, texts=varied))
    assert {each.facet for each in watched.named} == {"length"}
    assert "no format is named, but length" in watched.verdict()[1]


def test_a_base_in_which_no_two_samples_agree_is_watched_for_agreement():
    class ByText(BySign):
        def labels(self, samples):
            return list(samples.texts)

    rng = np.random.default_rng(16)
    varied = [mixture(step, BASE, HALF, rng, prompts=32, group=4) for step in range(6)]
    varied = [dataclasses.replace(each, texts=[f"{each.step}-{i}" for i in range(len(each))]) for each in varied]
    same = [dataclasses.replace(each, texts=["the same"] * len(each), step=10 + each.step) for each in varied]
    watched = Monitor([ByText()], with_vendi=False)
    for samples in [*varied, *same]:
        watched.look(samples)
    agreement = next(each for each in watched.reference.quantities if each.kind == "collision")
    assert agreement.base == 0.0 and 0 < agreement.bound < 0.9
    assert all(look.log_evidence < look.log_threshold for look in watched.looks[1:6])
    assert any(agreement.name in alarm.quantities for alarm in watched.alarms)
