import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.archives import NoveltyArchive
from search.selection import dominated_novelty
from tests.search.procedures.told_results import result

VECTORS = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 2), min_size=1, max_size=20)


@given(VECTORS, st.integers(1, 5), st.integers(1, 4))
def test_whoever_leaves_has_the_lowest_score_of_all_by_brute_force(vectors, capacity, neighbors):
    archive = NoveltyArchive(capacity, neighbors)
    for candidate in result(*((str(i), v) for i, v in enumerate(vectors))).candidates:
        before = [*archive.members, candidate]
        scores = dominated_novelty([c.scalar for c in before], [c.vector for c in before], neighbors)
        admitted = archive.add(candidate, candidate.vector)
        assert admitted == (candidate in archive.members)
        gone = [i for i, c in enumerate(before) if c not in archive.members]
        assert len(gone) == max(0, len(before) - capacity)
        assert all(scores[i] == scores.min() for i in gone)
        expected = dominated_novelty(
            [c.scalar for c in archive.members], [c.vector for c in archive.members], neighbors
        )
        assert archive.scores == pytest.approx(expected)


def test_known_answers_are_not_admitted_twice_but_may_come_back_once_they_left():
    archive = NoveltyArchive(2, 1)
    near, best, far = result(("near", (8.0, 1.0)), ("best", (9.0, 1.0)), ("far", (0.0, 6.0))).candidates
    assert archive.add(near, near.vector) and archive.add(best, best.vector)
    assert not archive.add(near, near.vector)
    assert archive.add(far, far.vector)  # pushes out "near", which lies beside a fitter one
    assert {member.answer for member in archive.members} == {"best", "far"}
    assert not archive.add(near, near.vector)
    assert np.isinf(archive.scores).sum() == 1


def test_the_fittest_never_leaves():
    archive = NoveltyArchive(3, 2)
    rng = np.random.default_rng(0)
    best = -np.inf
    for i in range(200):
        (candidate,) = result((str(i), tuple(rng.random(3))), first_id=i).candidates
        archive.add(candidate, candidate.vector)
        best = max(best, candidate.scalar)
        assert max(member.scalar for member in archive.members) == best
