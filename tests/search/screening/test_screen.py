import math

import numpy as np
import pytest

from search.budget import Budget
from search.ledger import LedgerError, read_ledger, read_told
from search.procedures import Evolution
from search.records import Evaluation
from search.replay import replay_search
from search.screening import Screening
from search.screening.report import read_trials, verdict
from tests.search.screening.predictors import SlotMeans, inverted, noisy, random_guess, turning
from tests.search.screening.searching import SLOTS, searched, toy
from tests.search.toy_problem import ToyProblem, toy_sampler

ON = Screening(trusted=True, warm_up=8, predictor=SLOTS)


def decisions(path):
    return [each for row in read_ledger(path)[1] for each in row.get("screen", ())]


@pytest.mark.parametrize("num_answers", [1, 3])
def test_dropped_answers_cost_their_tokens_and_no_evaluation_and_are_not_told(tmp_path, num_answers):
    problem = toy(num_answers)
    result = searched(problem, ON, ledger_path=tmp_path / "ledger")
    dropped = {each["answer"] for each in decisions(tmp_path / "ledger") if "answer" in each}
    assert dropped and result.dropped[-1] > 20
    evaluated = [candidate.answer for candidate in result.candidates if not candidate.duplicate]
    assert problem.evaluated == evaluated, "an answer was evaluated and not told, or twice"
    rows = [row for row in read_ledger(tmp_path / "ledger")[1] if row["kind"] == "generation"]
    assert result.completion_tokens[-1] == sum(row["completion_tokens"] for row in rows)
    (told,) = read_told(tmp_path / "ledger")
    empty = sum(each.status == "unparsed" for each in told.results)
    assert result.answers[-1] == len(result.candidates) + empty <= 80
    assert {each.num_charged_answers for each in told.results if each.status == "dropped"} == {0}


def test_budget_of_answers_holds_to_the_last_one_though_most_are_dropped():
    for most in (20, 21, 22):
        result = searched(toy(3), ON, most=most)
        assert most - 2 <= result.answers[-1] <= most


def test_budget_of_tokens_holds():
    result = searched(toy(), ON, budget=Budget(max_completion_tokens=1500))
    assert 1460 < result.completion_tokens[-1] <= 1500


def test_about_the_stated_shares_are_kept_and_audited(tmp_path):
    rules = Screening(trusted=True, share=0.3, audit=0.2, tolerance=0.9, least_skill=0.01, predictor=noisy(0.3))
    searched(toy(3), rules, most=250, ledger_path=tmp_path / "ledger")
    verdicts = [each["verdict"] for each in decisions(tmp_path / "ledger")]
    kept, audited = verdicts.count("keep"), verdicts.count("audit")
    assert len(verdicts) > 300
    assert abs(kept / len(verdicts) - 0.3) < 0.08
    below = len(verdicts) - kept
    assert abs(audited / below - 0.2) < 3 * math.sqrt(0.2 * 0.8 / below)


def test_nothing_is_dropped_before_the_predictor_has_proven_its_skill(tmp_path):
    plain = searched(toy(), None)
    guessed = searched(toy(), Screening(predictor=random_guess), ledger_path=tmp_path / "ledger")
    assert guessed.candidates == plain.candidates and guessed.best == plain.best
    assert {(each["on"], "answer" in each) for each in decisions(tmp_path / "ledger")} == {(False, False)}


def test_good_predictor_is_switched_on_and_finds_as_much_with_fewer_evaluations():
    needed, spared = 0, 0
    for seed in (1, 2, 3):
        plain, screened = (ToyProblem("toy", num_answers=1, num_slots=14, num_symbols=6) for _ in range(2))
        options = {"most": 250, "seed": seed, "sampler": toy_sampler(plain, num_symbols=6)}
        found = searched(plain, None, **options)
        needed += len({each.answer for each in found.candidates[: found.best.index(found.best[-1]) + 1]})
        again = searched(screened, Screening(predictor=noisy(0.1)), target=found.best[-1], **options)
        assert again.solved and again.dropped[-1] > 0
        spared += len(screened.evaluated)
    assert spared < 0.75 * needed


@pytest.mark.parametrize("predictor", [inverted, turning(40)])
def test_wrong_predictor_is_switched_off_and_progress_and_ledger_say_so(tmp_path, predictor):
    said = []
    rules = Screening(trusted=True, predictor=predictor, audit=0.3)
    searched(
        toy(3),
        rules,
        most=200,
        progress=lambda p: said.append((p.num_screening, p.switched)),
        ledger_path=tmp_path / "l",
    )
    assert said[0] == (1, "") and said[-1][0] == 0
    assert said[-1][1].startswith("screen of toy switched off: ")
    (switch,) = [row for row in read_ledger(tmp_path / "l")[1] if row["kind"] == "switch"]
    assert switch["on"] is False and switch["reason"] in said[-1][1]
    (trial,) = read_trials(tmp_path / "l").values()
    assert [each.num_told for each in trial.switches] == [switch["num_told"]]
    assert verdict(trial).startswith("off; ")


def test_ledger_says_all_of_a_decision_and_folds_to_what_the_run_found(tmp_path):
    result = searched(toy(3), ON, ledger_path=tmp_path / "ledger")
    (told,) = read_told(tmp_path / "ledger")
    assert told.report() == result
    for each in decisions(tmp_path / "ledger"):
        assert len(each["mean"]) == 6 and each["spread"] is None and each["on"]
        assert (each["merit"] >= each["bar"]) == (each["verdict"] == "keep")
        assert ("answer" in each) == (each["verdict"] == "drop")
    (trial,) = read_trials(tmp_path / "ledger").values()
    assert trial.tally.num_judged == len(decisions(tmp_path / "ledger"))
    assert trial.tally.num_dropped == result.dropped[-1]


def test_replay_gives_the_same_archive_without_the_predictor_and_evaluates_what_was_evaluated(tmp_path):
    problem, again = toy(3), toy(3)
    result = searched(problem, ON, ledger_path=tmp_path / "ledger")
    found = replay_search([again], lambda p: Evolution(p.vary), tmp_path / "ledger", evaluate=True)
    assert found.results == [result] and found.num_open == 0
    assert found.differences == () and again.evaluated == problem.evaluated
    again.parse = lambda text: [answer + " 0" for answer in problem.parse(text)]
    found = replay_search([again], lambda p: Evolution(p.vary), tmp_path / "ledger", evaluate=True)
    assert len(found.differences) > 10


def test_predictor_learns_that_what_is_no_solution_is_no_better_than_the_worst_one():
    learned = {}

    class Negative(ToyProblem):
        def evaluate(self, answers):
            found = [tuple(reward - 5 for reward in vector) for vector in super().evaluate(answers)]
            return [
                Evaluation(vector=(0.0,) * 6, status="invalid") if a.startswith("0") else v
                for a, v in zip(answers, found, strict=True)
            ]

    class Noting(SlotMeans):
        def update(self, problem, candidates, rewards):
            learned.update(zip(candidates, rewards.tolist(), strict=True))
            super().update(problem, candidates, rewards)

    problem = Negative("toy", num_answers=1, num_slots=6)
    searched(problem, Screening(warm_up=8, predictor=Noting))
    broken = [rewards for answer, rewards in learned.items() if answer.startswith("0")]
    assert len(broken) > 3 and max(max(rewards) for rewards in broken) == -5.0


def test_ledger_belongs_to_its_screen(tmp_path):
    searched(toy(), ON, ledger_path=tmp_path / "ledger")
    for other in (None, Screening(trusted=True, warm_up=9, predictor=SLOTS)):
        with pytest.raises(LedgerError, match="another configuration \\(screen: "):
            searched(toy(), other, ledger_path=tmp_path / "ledger")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda n: (np.zeros((n, 5)), None), r"shape \(\d+, 5\).* expected \(\d+, 6\)"),
        (lambda n: (np.full((n, 6), np.nan), None), "mean with a number that is not finite"),
        (lambda n: (np.zeros((n, 6)), np.full((n, 6), -1.0)), "spread with a number that is not finite, or negative"),
    ],
)
def test_predictor_that_breaks_its_contract_is_named(found, message):
    class Broken:
        def update(self, problem, candidates, rewards):
            assert rewards.shape == (len(candidates), 6)

        def predict(self, problem, candidates):
            return found(len(candidates))

    with pytest.raises(ValueError, match=f"Broken.predict gave a .*{message}"):
        searched(toy(), Screening(warm_up=8, predictor=lambda problem: Broken()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0}, "share of the screen is 0, expected a number between 0 and 1: 0.25 is the default"),
        ({"share": "all"}, "share of the screen is 'all'"),
        ({"audit": 0.0}, "audit of the screen is 0.0, expected a number above 0 and at most 1, as nothing else shows"),
        ({"tolerance": 1}, "tolerance of the screen is 1"),
        ({"least_skill": math.nan}, "least_skill of the screen is nan"),
        ({"warm_up": 1}, "warm_up is 1, expected a whole number, 2 at least"),
        ({"trusted": 1}, "trusted is 1, expected true or false"),
        ({"predictor": noisy(1), "options": {"a": 1}}, "options go with a predictor's name"),
    ],
)
def test_rules_without_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Screening(**options)
