import math

import numpy as np
import pytest

from eval.alarms import AlarmPanel, Channel, FalseAlarms

FORMATS = [Channel(name, 0.6) for name in ("code", "prose", "table", "json")]


def shares(rng, mean, prompts=64, samples=8):
    return rng.binomial(samples, mean, size=prompts) / samples


def test_a_collapse_raises_one_alarm_that_names_its_format_and_is_not_raised_again():
    rng = np.random.default_rng(0)
    panel = AlarmPanel(FORMATS, FalseAlarms(0.05, looks=10))
    raised = []
    for step in range(10):
        level = 0.3 if step < 4 else 0.95
        alarm = panel.look(step, {c.name: shares(rng, level if c.name == "code" else 0.05) for c in FORMATS})
        raised += [alarm] if alarm else []
    assert panel.alarms == raised
    (alarm,) = raised
    assert (alarm.step, alarm.look, alarm.channels) == (4, 5, ("code",))
    assert alarm.log_evidence >= alarm.log_threshold == pytest.approx(math.log(10 / 0.05))
    assert "at most 0.05 over 10 looks" in alarm.guarantee
    assert "Greedy decoding" in alarm.assumption


def test_a_second_format_that_collapses_later_raises_its_own_alarm():
    panel = AlarmPanel(FORMATS[:2], FalseAlarms(0.05))
    first = [panel.look(step, {"code": [0.9] * 64, "prose": [0.1] * 64}) for step in range(3)]
    second = [panel.look(step, {"code": [0.1] * 64, "prose": [0.9] * 64}) for step in range(3, 6)]
    assert [alarm.channels for alarm in first if alarm] == [("code",)]
    assert {name for alarm in second if alarm for name in alarm.channels} >= {"prose"}


@pytest.mark.parametrize("rule", [FalseAlarms(0.2), FalseAlarms(0.2, looks=8), FalseAlarms(rate=None, run_length=40)])
def test_on_quiet_streams_alarms_are_as_rare_as_they_say(rule):
    """At the bound itself, prompts unequal, four channels that move together."""
    rng, runs, false = np.random.default_rng(1), 300, 0
    for _ in range(runs):
        panel = AlarmPanel(FORMATS, rule)
        means = rng.beta(3, 2, size=24)
        means += 0.6 - means.mean()
        false += any(
            panel.look(step, {c.name: shares(rng, means.clip(0, 1), 24) for c in FORMATS}) for step in range(8)
        )
    allowed = rule.rate or 8 / rule.run_length
    assert false / runs <= allowed


def test_more_quiet_channels_cost_a_factor_of_their_number_and_no_more():
    few, many = (AlarmPanel(FORMATS[:count], FalseAlarms(1e-9)) for count in (1, 4))
    for step in range(3):
        few.look(step, {"code": [0.9] * 64})
        alarm = many.look(step, {c.name: [0.9 if c.name == "code" else 0.0] * 64 for c in FORMATS})
    assert few.alarms and alarm is None  # three looks suffice at the first
    assert many.alarms[0].log_evidence == pytest.approx(few.alarms[0].log_evidence - math.log(4), abs=1e-6)


def test_channel_that_cannot_be_measured_keeps_its_evidence():
    panel = AlarmPanel(FORMATS[:2])
    panel.look(0, {"code": [0.9] * 16, "prose": [0.1] * 16})
    before = panel.evidence["code"].log_product
    panel.look(1, {"prose": [0.1] * 16})
    assert panel.evidence["code"].log_product == before


def test_panel_is_a_fold_over_its_looks():
    rng = np.random.default_rng(2)
    looks = [{c.name: shares(rng, 0.62) for c in FORMATS} for _ in range(30)]
    first, again = AlarmPanel(FORMATS), AlarmPanel(FORMATS)
    for panel in (first, again):
        for step, values in enumerate(looks):
            panel.look(step, values)
    assert first.alarms == again.alarms
    assert first.evidence["code"].log_spread == again.evidence["code"].log_spread


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FalseAlarms(rate=None), "expected one of the two"),
        (lambda: FalseAlarms(0.05, run_length=100), "expected one of the two"),
        (lambda: FalseAlarms(1.0), "rate is 1.0"),
        (lambda: FalseAlarms(0.05, looks=0), "looks is 0"),
        (lambda: FalseAlarms(None, run_length=1), "run_length is 1"),
        (lambda: AlarmPanel([]), "at least one"),
        (lambda: AlarmPanel([FORMATS[0]] * 2), "name of its own"),
        (lambda: AlarmPanel(FORMATS).look(0, {"yaml": [0.5]}), r"\['yaml'\] are unknown"),
    ],
)
def test_rules_and_channels_without_a_meaning_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_guarantee_for_some_looks_says_so_when_they_are_over():
    panel = AlarmPanel(FORMATS[:1], FalseAlarms(0.05, looks=2))
    raised = [panel.look(step, {"code": [0.1 if step < 3 else 1.0] * 64}) for step in range(4)]
    assert raised[:3] == [None] * 3
    assert raised[3].guarantee.endswith("Of look 3 and later ones, and this was look 4, it says nothing.")
