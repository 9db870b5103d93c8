import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.archives import SignaturePopulation
from search.selection import non_dominated, shared_wins
from tests.search.procedures.told_results import result

VECTORS = st.integers(1, 3).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 3).map(float)] * d), min_size=1, max_size=25)
)


def candidates(vectors, lengths=None):
    answers = [("x" * (lengths[i] if lengths else 1) + str(i), vector) for i, vector in enumerate(vectors)]
    return result(*answers).candidates


def population(vectors, capacity=None, lengths=None):
    found = SignaturePopulation(capacity)
    for candidate in candidates(vectors, lengths):
        found.add(candidate)
    return found


@given(VECTORS, st.lists(st.integers(0, 5), min_size=25, max_size=25))
def test_members_are_the_shortest_answers_of_all_distinct_vectors(vectors, lengths):
    found = population(vectors, None, lengths)
    assert [member.vector for member in found.members] == list(dict.fromkeys(vectors))
    for member in found.members:
        rivals = [c for c in candidates(vectors, lengths) if c.vector == member.vector]
        assert member == min(rivals, key=lambda c: len(c.answer))  # the first of equals


@given(VECTORS, st.integers(1, 6))
def test_columns_and_marks_of_dominance_stay_true_through_evictions(vectors, capacity):
    found = SignaturePopulation(capacity)
    for candidate in candidates(vectors):
        known = {member.vector for member in found.members}
        admitted = found.add(candidate)
        assert admitted == (candidate in found.members)
        assert len(found) <= capacity
        assert {m.vector for m in found.members} <= known | {candidate.vector}
        matrix = np.array([member.vector for member in found.members])
        assert found.columns.T.tolist() == matrix.tolist()
        assert found.is_dominated.tolist() == (~non_dominated(matrix)).tolist()
        assert found._index == {member.vector: i for i, member in enumerate(found.members)}


@given(VECTORS, st.integers(1, 6))
def test_an_eviction_takes_a_dominated_member_if_there_is_one_and_the_fewest_shared_wins(vectors, capacity):
    found = SignaturePopulation(capacity)
    for candidate in candidates(vectors):
        before = [*found.members, candidate]
        if len({c.vector for c in before}) <= capacity or candidate.vector in {m.vector for m in found.members}:
            found.add(candidate)
            continue
        matrix = np.array([c.vector for c in before])
        dominated = ~non_dominated(matrix)
        points = shared_wins(matrix)
        found.add(candidate)
        (gone,) = [i for i, c in enumerate(before) if c not in found.members]
        eligible = np.flatnonzero(dominated) if dominated.any() else np.arange(len(before))
        assert gone in eligible
        assert points[gone] <= points[eligible].min() + 1e-9


@given(VECTORS)
def test_front_survives_whole_if_it_ever_fitted(vectors):
    """So capacity costs plain lexicase nothing: it never chooses whom an eviction takes."""
    distinct = [list(dict.fromkeys(vectors[:num])) for num in range(1, len(vectors) + 1)]
    found = population(vectors, capacity=max(int(non_dominated(seen).sum()) for seen in distinct))
    front = {vector for vector, on in zip(distinct[-1], non_dominated(distinct[-1]), strict=True) if on}
    kept = {member.vector for member, off in zip(found.members, found.is_dominated, strict=True) if not off}
    assert kept == front


def test_the_only_one_to_pass_a_test_is_kept_however_weak_it_is():
    strong = [(1.0, 1.0, 1.0, 0.0, 0.5 + i / 10) for i in range(4)]
    found = population([(0.0, 0.0, 0.0, 1.0, 0.0), *strong, (0.9, 0.9, 0.9, 0.0, 0.0)], capacity=2)
    assert (0.0, 0.0, 0.0, 1.0, 0.0) in {member.vector for member in found.members}


def test_among_undominated_members_without_a_win_the_lowest_ranks_leave_then_the_oldest():
    # Rows 0 and 1 are best at one component each; 2, 3 and 4 at none. All are undominated. Dense ranks of the others
    # (0 is lowest): 2 -> 1 + 3, 3 -> 2 + 2, 4 -> 3 + 1: all 4, so the oldest of them leaves.
    found = population([(9.0, 0.0), (0.0, 9.0), (1.0, 4.0), (2.0, 3.0), (3.0, 2.0)], capacity=4)
    assert [member.id for member in found.members] == [0, 1, 4, 3]


def test_a_common_scale_of_rewards_does_not_matter():
    rng = random.Random(0)
    vectors = [tuple(float(rng.randrange(5)) for _ in range(3)) for _ in range(60)]
    bent = [tuple(reward**3 - 7 for reward in vector) for vector in vectors]
    kept = [member.id for member in population(vectors, capacity=6).members]
    assert kept == [member.id for member in population(bent, capacity=6).members]
