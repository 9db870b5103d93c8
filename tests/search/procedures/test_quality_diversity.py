"""Pareto, MAP-Elites, FunSearch's islands and dominated novelty search."""

import random
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from search.procedures import DominatedNoveltySearch, MapElites, ParetoEvolution, SignatureIslands
from search.records import Proposal
from search.selection import non_dominated, specialist_weights
from tests.search.procedures.told_results import Play, result, show

# Component 0: rows 0 and 1; 1: row 2; 2: rows 1 and 2. Row 1 dominates row 0; row 3 is on the front, best at nothing.
VECTORS = [(2.0, 0.0, 0.0), (2.0, 0.0, 1.0), (0.0, 2.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.5, 0.0)]
ANSWERS = [(str(i), vector) for i, vector in enumerate(VECTORS)]


def told(procedure, *answers, island=0, number=0, first_id=0):
    procedure.tell([result(*answers, number=number, first_id=first_id, proposal=Proposal(island=island))])
    return procedure


def frequencies(procedure, num=3000):
    counts = Counter(p.parents[0] for p in procedure.ask(num, random.Random(0)))
    return np.array([counts[i] for i in range(len(VECTORS))])


def test_specialists_are_parents_as_often_as_they_are_best():
    observed = frequencies(told(ParetoEvolution(show, iid_share=0.0), *ANSWERS))
    expected = specialist_weights(VECTORS)
    assert expected.tolist() == [0, 0.5, 0.5, 0, 0]
    assert observed[expected == 0].sum() == 0
    assert chisquare(observed[expected > 0]).pvalue > 1e-3


def test_the_front_has_parents_in_its_middle_too():
    observed = frequencies(told(ParetoEvolution(show, parents="front", iid_share=0.0), *ANSWERS))
    assert (observed > 0).tolist() == non_dominated(VECTORS).tolist() == [False, True, True, True, False]
    assert chisquare(observed[1:4]).pvalue > 1e-3


def test_inspirations_come_from_the_front_without_the_parent_as_far_as_it_goes():
    procedure = told(ParetoEvolution(show, num_inspirations=5, iid_share=0.0), *ANSWERS)
    for proposal in procedure.ask(20, random.Random(0)):
        assert {*proposal.parents, *proposal.inspirations} == {1, 2}


def test_elites_are_parents_alike_whatever_their_quality():
    procedure = MapElites(show, descriptor=lambda c: c.answer[0], num_islands=1, iid_share=0.0)
    told(procedure, ("a1", (1.0,)), ("a2", (5.0,)), ("b1", (0.1,)), ("c1", (3.0,)))
    counts = Counter(p.parents[0] for p in procedure.ask(3000, random.Random(0)))
    assert set(counts) == {1, 2, 3}
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_best_elites_migrate_around_the_ring():
    procedure = MapElites(show, descriptor=lambda c: c.answer, num_islands=3, migration_every=4, migration_share=0.5)
    told(procedure, ("a", (1.0,)), ("b", (2.0,)))
    told(procedure, ("c", (3.0,)), island=1, number=1, first_id=2)
    told(procedure, ("d", (4.0,)), island=1, number=2, first_id=3)
    assert [[elite.answer for elite in island.elites] for island in procedure.islands] == [
        ["a", "b"],
        ["c", "d", "b"],
        ["d"],
    ]


def test_children_stay_on_their_island_until_it_is_reset_or_migrates():
    for procedure in (
        MapElites(show, num_islands=3, migration_every=10**9),
        SignatureIslands(show, num_islands=3, reset_every=10**9),
    ):
        play = Play(procedure, num_slots=6).rounds(30)
        home = {c.id: r.proposal.island for r in play.results for c in r.candidates}
        for proposal in (r.proposal for r in play.results):
            assert {home[i] for i in (*proposal.parents, *proposal.inspirations)} <= {proposal.island}


def test_parent_is_the_better_one_of_the_clusters_that_are_shown():
    procedure = SignatureIslands(show, num_islands=1, num_inspirations=2, temperature=1.0, iid_share=0.0)
    told(procedure, *ANSWERS)
    sums = [sum(vector) for vector in VECTORS]
    for proposal in procedure.ask(50, random.Random(0)):
        shown = [sums[i] for i in proposal.inspirations]
        assert len(shown) == 2 and shown == sorted(shown)
        assert sums[proposal.parents[0]] >= max(shown)


def test_temperature_falls_to_zero_over_each_period():
    procedure = SignatureIslands(show, num_islands=1, temperature=0.2, temperature_period=4)
    seen = []
    for i in range(9):
        seen.append(procedure.temperature_of(procedure.islands[0]))
        told(procedure, (str(i), (float(i),)), number=i, first_id=i)
    assert seen == pytest.approx([0.2, 0.15, 0.1, 0.05, 0.2, 0.15, 0.1, 0.05, 0.2])


def test_reset_empties_the_worse_half_and_founds_it_from_a_survivor():
    procedure = SignatureIslands(show, num_islands=5, reset_every=8)
    for island, values in enumerate([(1.0, 4.0), (5.0, 0.5), (3.0, 2.0), (7.0, 6.0)]):
        answers = [(f"{island}-{value}", (value,)) for value in values]
        told(procedure, *answers, island=island, number=island, first_id=2 * island)
    # best: 4 5 3 7 and none on the last island, so islands 4 and 2 are reset
    assert [len(island) for island in procedure.islands] == [2, 2, 1, 2, 1]
    survivors = {procedure.islands[i].best.answer for i in (0, 1, 3)}
    assert survivors == {"0-4.0", "1-5.0", "3-7.0"}
    assert {procedure.islands[i].best.answer for i in (2, 4)} <= survivors


def test_novelty_search_keeps_weak_answers_that_lie_far_from_the_fit():
    procedure = DominatedNoveltySearch(show, capacity=3, num_neighbors=1)
    told(procedure, ("best", (9.0, 0.0)), ("near", (8.0, 0.0)), ("nearer", (8.8, 0.0)), ("far", (0.0, 1.0)))
    assert {member.answer for member in procedure.archive.members} == {"best", "near", "far"}


def test_novelty_may_be_measured_in_a_place_that_the_user_names():
    procedure = DominatedNoveltySearch(show, capacity=2, num_neighbors=1, descriptor=lambda c: (len(c.answer),))
    told(procedure, ("xxxx", (9.0,)), ("yyy", (1.0,)), ("z", (0.5,)))
    assert {member.answer for member in procedure.archive.members} == {"xxxx", "z"}


@pytest.mark.parametrize("place", [(), (float("nan"),), (1.0, 2.0, float("inf"))])
def test_place_that_is_none_is_refused(place):
    with pytest.raises(ValueError, match=r"descriptor gave .*finite coordinates: give every candidate the same number"):
        told(DominatedNoveltySearch(show, descriptor=lambda c: place), ("a", (1.0,)))


def test_place_of_another_dimension_is_refused():
    procedure = told(DominatedNoveltySearch(show, descriptor=lambda c: (1.0,) * len(c.answer)), ("a", (1.0,)))
    with pytest.raises(ValueError, match=r"descriptor gave \(1.0, 1.0\), expected 1 finite coordinates"):
        told(procedure, ("bb", (1.0,)), number=1, first_id=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ParetoEvolution(show, parents="all"), "parents is 'all', expected one of 'specialists', 'front'"),
        (lambda: ParetoEvolution(show, capacity=0), "capacity is 0, expected an integer of at least 1"),
        (lambda: MapElites(show, descriptor="len"), "descriptor is 'len', expected a function"),
        (lambda: MapElites(show, migration_share=2), r"migration_share is 2, expected a share in \[0, 1\]"),
        (lambda: MapElites(show, num_islands=0), "num_islands is 0, expected an integer of at least 1"),
        (lambda: SignatureIslands(show, temperature=-1), "temperature is -1, expected a finite number >= 0"),
        (lambda: SignatureIslands(show, reset_every=0), "reset_every is 0, expected an integer of at least 1"),
        (lambda: SignatureIslands(show, cluster_size=0), "cluster_size is 0, expected an integer of at least 1"),
        (lambda: DominatedNoveltySearch(show, num_neighbors=0), "num_neighbors is 0, expected an integer"),
        (lambda: DominatedNoveltySearch(show, descriptor=3), "descriptor is 3, expected a function"),
        (lambda: DominatedNoveltySearch(show, iid_share=float("nan")), "iid_share is nan, expected a share"),
    ],
)
def test_options_outside_their_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
