import math
import random

import pytest

from search.screening import Screening, Trial
from tests.search.screening.trials import begun, decided, earned, tell

TRUSTED = Screening(trusted=True)


def guessing(trial, rng, num):
    """Answers whose merits say nothing."""
    for _ in range(num):
        merit = rng.gauss(0, 1)
        tell(trial, rng.random(), "keep" if merit > 0.7 else "drop", merit)


def seeing(trial, rng, num, sign=1.0):
    """Answers whose merits are right, or with the other sign the reverse; those below the bar are always audited."""
    for _ in range(num):
        reward = rng.random()
        merit = sign * reward + rng.gauss(0, 0.1)
        below = "audit" if trial.on else "drop"
        tell(trial, reward, "keep" if merit > (0.7 if sign > 0 else -0.3) else below, merit)


def test_predictor_that_guesses_is_switched_on_no_oftener_than_stated():
    rules, runs = Screening(error=0.4), 40  # 0.2 for the first period: 8 expected at most
    on = 0
    for seed in range(runs):
        trial = begun(Trial(rules, seed), best=2.0)
        guessing(trial, random.Random(seed), 90)
        on += bool(trial.switches)
    assert on <= 8 + 2.3 * math.sqrt(runs * 0.2 * 0.8)


def test_predictor_that_sees_is_switched_on_and_stays_so():
    trial = begun(Trial(Screening(), 0), best=2.0)
    rng = random.Random(0)
    seeing(trial, rng, 90)
    assert [each.on for each in trial.switches] == [True] and trial.switches[0].num_told <= 60
    assert "better than what it would drop" in trial.switches[0].reason
    seeing(trial, rng, 300)
    assert trial.on and len(trial.switches) == 1


def test_predictor_at_the_edge_of_the_rules_is_switched_off_no_oftener_than_stated():
    rules, runs, off = Screening(trusted=True, error=0.4, tolerance=0.2), 30, 0
    for seed in range(runs):
        rng, best = random.Random(seed), 10.0
        trial = begun(Trial(rules, seed), best)
        for _ in range(60):
            if rng.random() < 0.2:  # a miss, which beats everything: with probability tolerance
                best += 0.01
                tell(trial, best, "audit")
            else:
                tell(trial, rng.random(), "audit")
            # Better than what is no miss with probability 0.75, so in 0.8 * 0.75 = 0.6 of all pairs
            tell(trial, rng.random() ** (1 / 3), "keep")
        off += bool(trial.switches)
    assert off <= 6 + 2.3 * math.sqrt(runs * 0.2 * 0.8)


def test_misses_beyond_the_tolerance_switch_it_off_and_are_named():
    trial, best = begun(Trial(TRUSTED, 0)), 1.0
    while trial.on and trial.num_told < 40:
        best += 0.1
        tell(trial, best, "audit")
    assert not trial.on and trial.num_told <= 6
    assert "more than 0.1 of what it drops would have beaten the best so far" in trial.switches[0].reason


def test_predictor_that_sees_the_reverse_is_switched_off():
    trial = begun(Trial(TRUSTED, 0), best=2.0)
    seeing(trial, random.Random(0), 120, sign=-1.0)
    assert trial.switches[0].on is False and "less than 0.6 of all pairs" in trial.switches[0].reason


def test_predictor_that_turns_is_switched_off_and_on_again_only_with_new_evidence():
    trial, rng = begun(Trial(Screening(), 0), best=2.0), random.Random(1)
    seeing(trial, rng, 200)
    assert trial.on
    seeing(trial, rng, 200, sign=-1.0)
    assert [each.on for each in trial.switches] == [True, False]
    assert trial.log_evidence["skill"] <= 0  # of the time before nothing is left
    seeing(trial, rng, 200)
    assert [each.on for each in trial.switches] == [True, False, True]
    assert trial.switches[2].num_told > trial.switches[1].num_told + 12


def test_later_periods_must_prove_more():
    """The j-th period has 1 / (j (j + 1)) of the error, which sums to all of it."""
    trial, rng, needed = begun(Trial(Screening(), 0), best=2.0), random.Random(1), []
    for sign in (1, -1, 1, -1, 1):
        num = len(trial.switches)
        while len(trial.switches) == num:
            seeing(trial, rng, 1, sign)
        needed.append(float(trial.switches[-1].reason.split("needed ")[1].split(")")[0].split(";")[0]))
    assert needed == pytest.approx([40, 80, 120, 240, 240])


def test_it_is_not_switched_on_while_what_it_would_drop_beats_the_best():
    trial, rng, best = begun(Trial(Screening(), 0)), random.Random(0), 1.0
    for _ in range(60):
        best += 0.1
        tell(trial, best, "drop", best)
        tell(trial, rng.random(), "keep", -5.0 + rng.random())
        tell(trial, best + 0.5, "keep", best + 0.5)
        best += 0.5
    assert not trial.on and trial.log_evidence["skill"] > math.log(40)


def test_what_was_decided_before_a_switch_is_no_evidence_after_it():
    trial, best = begun(Trial(TRUSTED, 0)), 1.0
    while trial.on:
        best += 0.1
        tell(trial, best, "audit")
    before, judged = trial.log_evidence, trial.tally.num_judged
    for _ in range(20):
        best += 0.1
        trial.take((decided("x", "audit", on=True, period=0, merit=best),), (earned("x", best),))
    assert trial.log_evidence == before and trial.tally.num_judged == judged + 20


def test_answer_that_is_no_solution_is_no_miss_whatever_its_floor():
    trial = begun(Trial(TRUSTED, 0), best=-5.0)
    trial.take((decided("broken", "audit", on=True),), (earned("broken", 0.0, status="invalid"),))
    assert trial.tally.audited == [False]
    tell(trial, -4.0, "audit")
    assert trial.tally.audited == [False, True]


def test_tally_estimates_what_was_lost_from_the_audit():
    trial = begun(Trial(TRUSTED, 0))
    for reward, verdict in [(2.0, "keep"), (0.0, "audit"), (3.0, "audit"), (9.0, "drop"), (9.0, "drop")]:
        tell(trial, reward, verdict)
    tally = trial.tally
    assert (tally.num_judged, tally.num_dropped, tally.audited) == (5, 2, [False, True])
    # Half of the audited are misses: 1 of the 2 dropped; found were the one that was kept and the one that was audited
    assert tally.share_lost() == pytest.approx(1 / 3)
    rate, low, high = tally.miss_rate()
    assert rate == 0.5 and low < 0.5 < high
