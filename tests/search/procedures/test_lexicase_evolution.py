import random
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from search.procedures import Evolution, LexicaseEvolution
from search.records import Proposal
from tests.search.procedures.told_results import Play, result, show, state_of
from tests.search.selection.exact_lexicase import probabilities


def told_islands(procedure, *islands):
    """Tell one completion per island, with its answers as (text, vector)."""
    first = 0
    for island, answers in enumerate(islands):
        procedure.tell([result(*answers, number=island, first_id=first, proposal=Proposal(island=island))])
        first += len(answers)
    return procedure


def test_parents_have_the_exact_lexicase_probabilities():
    vectors = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.9, 0.9, 0.0), (1.0, 0.0, 0.5)]
    procedure = told_islands(
        LexicaseEvolution(show, iid_share=0.0), [(str(i), vector) for i, vector in enumerate(vectors)]
    )
    counts = Counter(p.parents[0] for p in procedure.ask(4000, random.Random(0)))
    expected = np.array([float(p) for p in probabilities(vectors)])
    observed = np.array([counts[i] for i in range(len(vectors))])
    assert observed[expected == 0].sum() == 0
    assert chisquare(observed[expected > 0], 4000 * expected[expected > 0]).pvalue > 1e-3


def test_complementary_inspiration_is_good_where_the_parent_is_not():
    answers = [("ab", (1.0, 1.0, 0.0, 0.0)), ("cd", (0.0, 0.0, 1.0, 1.0)), ("ac", (0.9, 0.0, 0.9, 0.0))]
    procedure = told_islands(LexicaseEvolution(show, iid_share=0.0), answers)
    shown = {(p.parents, p.inspirations) for p in procedure.ask(60, random.Random(0))}
    assert shown == {((0,), (1,)), ((1,), (0,))}


def test_nobody_is_shown_who_adds_nothing():
    answers = [("all", (1.0, 1.0)), ("half", (1.0, 0.0))]
    procedure = told_islands(LexicaseEvolution(show, iid_share=0.0), answers)
    assert {(p.parents, p.inspirations) for p in procedure.ask(20, random.Random(0))} == {((0,), ())}


def test_random_inspirations_are_all_others_alike_and_distinct():
    answers = [(str(i), tuple(float(i == j) for j in range(4))) for i in range(4)]
    procedure = told_islands(LexicaseEvolution(show, iid_share=0.0, inspiration="random", num_inspirations=2), answers)
    counts: Counter[int] = Counter()
    for proposal in procedure.ask(2000, random.Random(0)):
        assert len({*proposal.parents, *proposal.inspirations}) == 3
        counts.update(index for index in proposal.inspirations if proposal.parents == (1,))
    assert chisquare([counts[0], counts[2], counts[3]]).pvalue > 1e-3


def test_children_and_their_inspirations_stay_on_the_island_of_their_parent():
    procedure = LexicaseEvolution(show, num_islands=3, migration_every=10**9)
    play = Play(procedure, num_slots=6).rounds(30, batch=5)
    home = {c.id: r.proposal.island for r in play.results for c in r.candidates}
    assert {r.proposal.island for r in play.results if not r.proposal.parents} == {0, 1, 2}
    for proposal in (r.proposal for r in play.results):
        assert {home[i] for i in (*proposal.parents, *proposal.inspirations)} <= {proposal.island}
    for number, island in enumerate(procedure.islands):
        assert {home[member.id] for member in island.members} <= {number}


def test_migration_copies_the_best_covering_set_once_around_the_ring():
    answers = [
        [("a", (1.0, 0.0)), ("b", (0.0, 0.9)), ("c", (0.5, 0.5))],
        [("d", (0.2, 0.0))],
        [("e", (0.0, 0.1))],
    ]
    procedure = told_islands(LexicaseEvolution(show, num_islands=3, migration_every=5, num_migrants=2), *answers)
    names = [{member.answer for member in island.members} for island in procedure.islands]
    # a and b together cover most of island 0. All migrants leave before any arrives, so none goes two islands far.
    assert names == [{"a", "b", "c", "e"}, {"d", "a", "b"}, {"e", "d"}]


def test_migration_comes_by_answers_whatever_the_batches():
    procedure = LexicaseEvolution(show, num_islands=2, migration_every=3, num_migrants=1)
    procedure.tell([result(("a", (1.0,)), ("b", (2.0,)), proposal=Proposal(island=1))])
    assert [len(island) for island in procedure.islands] == [0, 2]
    procedure.tell([result(number=1)])  # a completion without an answer is charged as one
    assert [[m.answer for m in island.members] for island in procedure.islands] == [["b"], ["a", "b"]]


def test_epsilon_lets_those_within_it_be_parents_too():
    vectors = [(1.0, 0.0), (0.95, 0.4), (0.1, 0.5), (0.0, 1.0)]
    answers = [(str(i), vector) for i, vector in enumerate(vectors)]
    for epsilon in ("none", "static", "semi-dynamic", "dynamic"):
        procedure = told_islands(LexicaseEvolution(show, iid_share=0.0, epsilon=epsilon), answers)
        parents = {p.parents[0] for p in procedure.ask(300, random.Random(0))}
        assert parents == {i for i, p in enumerate(probabilities(vectors, epsilon)) if p}


def test_one_down_sample_serves_a_whole_ask():
    answers = [(str(i), tuple(float(i == j) for j in range(8))) for i in range(8)]
    procedure = told_islands(LexicaseEvolution(show, iid_share=0.0, down_sample=0.25), answers)
    for seed in range(10):
        assert len({p.parents[0] for p in procedure.ask(100, random.Random(seed))}) == 2


def test_evolution_is_lexicase_evolution_without_inspirations_and_without_a_limit():
    plain = LexicaseEvolution(show, num_inspirations=0, capacity=None)
    evolved, general = Play(Evolution(show)).rounds(20), Play(plain).rounds(20)
    assert evolved.results == general.results
    assert state_of(evolved.procedure)[1] == state_of(general.procedure)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": "mad"}, "epsilon is 'mad', expected one of 'none', 'static', 'semi-dynamic', 'dynamic'"),
        ({"down_sample": 0}, "down_sample is 0, expected a share above it"),
        ({"down_sample": "half"}, r"down_sample is 'half', expected a share in \[0, 1\]"),
        ({"inspiration": "best"}, "inspiration is 'best', expected one of 'complementary', 'lexicase', 'random'"),
        ({"num_inspirations": -1}, "num_inspirations is -1, expected an integer of at least 0"),
        ({"num_inspirations": True}, "num_inspirations is True, expected an integer"),
        ({"capacity": 0}, "capacity is 0, expected an integer of at least 1"),
        ({"num_islands": 0}, "num_islands is 0, expected an integer of at least 1"),
        ({"migration_every": 0.5}, "migration_every is 0.5, expected an integer of at least 1"),
        ({"num_migrants": -1}, "num_migrants is -1, expected an integer of at least 0"),
    ],
)
def test_options_outside_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LexicaseEvolution(show, **options)
