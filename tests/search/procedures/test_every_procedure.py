"""What holds for all of them: ask changes nothing, chance is the generator's alone, what was told is the state."""

import json
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.budget import Budget
from search.driver import run_search
from search.ledger import read_ledger
from search.procedures import PROCEDURES, get_procedure
from search.records import Proposal, Sampling
from tests.search.procedures.told_results import Play, show, state_of
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler

VARIANTS = {
    **{name: {} for name in PROCEDURES},
    "lexicase, small islands": {"num_islands": 3, "migration_every": 7, "num_migrants": 2, "capacity": 3},
    "lexicase, epsilon": {"epsilon": "semi-dynamic", "inspiration": "lexicase", "num_inspirations": 2},
    "lexicase, dynamic": {"epsilon": "dynamic", "inspiration": "random", "down_sample": 0.5},
    "lexicase, static": {"epsilon": "static", "down_sample": 0.25},
    "pareto, front": {"parents": "front", "capacity": 2, "num_inspirations": 3},
    "map_elites, islands": {"num_islands": 3, "migration_every": 5, "migration_share": 0.5},
    "signature_islands, resets": {"num_islands": 3, "reset_every": 6, "temperature_period": 5, "cluster_size": 2},
    "dominated_novelty, small": {"capacity": 4, "num_neighbors": 2},
    "beam, narrow": {"width": 2, "expand": 3, "keep_parents": False},
    "puct, small": {"capacity": 3, "children_kept": 1, "exploration": 0.5},
    "revision, last": {"refine": "last"},
}
WITHOUT_PARENTS = {"best_of_n", "self_consistency"}


class Shown:
    """The part of a problem that a procedure takes."""

    def vary(self, parent, inspirations, rng):
        return show(parent, inspirations, rng)


def make(variant, problem=None):
    return get_procedure(variant.split(",")[0], problem or Shown(), **VARIANTS[variant])


each_variant = pytest.mark.parametrize("variant", VARIANTS)


@each_variant
@pytest.mark.parametrize("num_rounds", [0, 1, 12])
def test_ask_changes_nothing_and_asks_the_same_again(variant, num_rounds):
    play = Play(make(variant)).rounds(num_rounds)
    pending = tuple(play.procedure.ask(3, random.Random(1)))
    before = state_of(play.procedure)
    first = play.procedure.ask(6, random.Random(5), pending)
    assert state_of(play.procedure) == before
    assert play.procedure.ask(6, random.Random(5), pending) == first


@each_variant
def test_replay_of_told_results_gives_the_same_state_however_they_are_grouped(variant):
    play = Play(make(variant)).rounds(15)
    one_by_one, at_once = make(variant), make(variant)
    for result in play.results:
        one_by_one.tell([result])
    at_once.tell(play.results)
    assert state_of(one_by_one) == state_of(at_once) == state_of(play.procedure)


@each_variant
def test_global_generators_are_neither_read_nor_moved(variant):
    import numpy as np

    random.seed(1)
    np.random.seed(1)
    play = Play(make(variant)).rounds(6)
    assert random.random() == random.Random(1).random()
    assert np.random.random() == np.random.RandomState(1).random_sample()
    random.seed(2)
    assert Play(make(variant)).rounds(6).results == play.results


@each_variant
@settings(max_examples=20, deadline=None)
@given(num=st.integers(1, 9), rounds=st.integers(0, 8), seed=st.integers(0, 99))
def test_as_many_proposals_as_asked_for_whatever_is_pending(variant, num, rounds, seed):
    procedure = Play(make(variant), seed=seed).rounds(rounds).procedure
    pending: tuple[Proposal, ...] = ()
    for _ in range(3):
        asked = procedure.ask(num, random.Random(seed), pending)
        assert len(asked) == num  # none at all would end the search
        pending += tuple(asked)


@each_variant
def test_parents_and_inspirations_are_valid_answers_that_were_told_and_nobody_inspires_itself(variant):
    play = Play(make(variant)).rounds(15)
    known = {c.id: c for result in play.results for c in result.candidates}
    proposals = [result.proposal for result in play.results]
    varied = [proposal for proposal in proposals if proposal.parents]
    assert bool(varied) == (variant not in WITHOUT_PARENTS)
    for proposal in varied:
        shown = [*proposal.parents, *proposal.inspirations]
        assert len(set(shown)) == len(shown)
        assert all(known[index].status == "ok" for index in shown)
        assert str(proposal.prompt).split("+") == [known[index].answer for index in shown]


@each_variant
def test_late_tells_are_taken_in_any_order(variant):
    """Many in flight: results come back long after they were asked for, the last one first."""
    play = Play(make(variant))
    flying: list[Proposal] = []
    for step in range(40):
        flying += play.procedure.ask(2, random.Random(step), tuple(flying))
        if len(flying) > 8:
            play.procedure.tell([play.answer(flying.pop())])
            play.procedure.tell([play.answer(flying.pop(0))])
    assert len(play.procedure.ask(4, random.Random(0), tuple(flying))) == 4


@each_variant
def test_problem_that_knows_no_variation_is_drawn_from_for_ever(variant):
    class Mute(Shown):
        def vary(self, parent, inspirations, rng):
            return None

    play = Play(make(variant, Mute())).rounds(8)
    assert len(play.results) == 32
    assert {result.proposal.parents for result in play.results} == {()}


@each_variant
def test_policy_that_never_answers_leaves_every_procedure_drawing(variant):
    play = Play(make(variant))
    play._texts = lambda proposal, rng: []
    play.rounds(8)
    assert {result.proposal.parents for result in play.results} == {()}
    assert len(play.results) == 32


@each_variant
def test_description_is_json_and_tells_variants_apart(variant):
    described = make(variant).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["name"] == variant.split(",")[0]
    for option, value in VARIANTS[variant].items():
        assert described[option] == value


@each_variant
def test_run_through_the_driver_resumes_to_the_same_rows(variant, tmp_path):
    def search(path, sampler=None):
        sampler = sampler or toy_sampler(ToyProblem("toy-0"))
        budget, sampling = Budget(max_answers=40), Sampling(max_new_tokens=20)
        return run_search(
            toy_problems(2), partial(make, variant), sampler, budget, batch=4, sampling=sampling, ledger_path=path
        )

    path = tmp_path / "run.jsonl"
    first = search(path)
    whole, lines = untimed(path), path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert search(path) == first
    assert untimed(path) == whole


def untimed(path):
    return [{key: value for key, value in row.items() if key != "wall"} for row in read_ledger(path)[1]]
