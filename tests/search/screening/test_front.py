import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.screening.front import Front

VECTORS = st.lists(st.tuples(*[st.floats(-3, 3, width=32)] * 3), min_size=1, max_size=8)


def arrays(vectors):
    table = np.array(vectors, dtype=float)
    return table, table.mean(axis=1)


@settings(deadline=None, max_examples=40)
@given(VECTORS)
def test_nothing_that_is_known_is_ahead_and_a_step_in_every_component_is(vectors):
    front = Front(seed=0)
    front.add(*arrays(vectors))
    assert not front.beaten_by(front.leads(*arrays(vectors))).any()
    top = np.max(np.array(vectors), axis=0)
    assert front.beaten_by(front.leads(*arrays([top + 0.01]))).all()


@settings(deadline=None, max_examples=40)
@given(VECTORS, st.integers(1, 7))
def test_front_is_the_same_however_its_vectors_are_grouped(vectors, cut):
    whole, parts = Front(seed=1), Front(seed=1)
    whole.add(*arrays(vectors))
    for part in (vectors[:cut], vectors[cut:]):
        if part:
            parts.add(*arrays(part))
    probe = arrays([(0.5, -1.0, 2.0)])
    np.testing.assert_allclose(whole.leads(*probe), parts.leads(*probe))


def test_a_specialist_is_ahead_where_a_weighting_favours_it_though_its_scalar_is_low():
    front = Front(seed=0)
    front.add(*arrays([(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]))
    assert front.beaten_by(front.leads(*arrays([(2.5, 0.0, 0.0)]))).tolist() == [True]
    assert front.beaten_by(front.leads(*arrays([(0.9, 0.9, 0.9)]))).tolist() == [False]


def test_leads_are_counted_in_deviations_so_the_unit_of_rewards_does_not_matter():
    small, large = Front(seed=0), Front(seed=0)
    known, new = np.array([[0.1, 0.2], [0.3, 0.1], [0.2, 0.4]]), np.array([[0.5, 0.1]])
    small.add(known, known.mean(axis=1))
    large.add(1000 * known, 1000 * known.mean(axis=1))
    assert small.leads(new, new.mean(axis=1)) == pytest.approx(large.leads(1000 * new, 1000 * new.mean(axis=1)))


def test_everything_is_ahead_of_nothing():
    assert np.isinf(Front(seed=0).leads(*arrays([(0.0, 0.0, 0.0)]))).all()
