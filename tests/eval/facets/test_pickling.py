"""Facets travel to other processes, which label as this one does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from eval.facets import STANDARD, default_facets
from tests.eval.collapse.stream import mixture


@pytest.mark.parametrize("name", STANDARD)
def test_a_fitted_facet_labels_alike_after_pickling(name):
    rng = np.random.default_rng(0)
    first, later = (mixture(step, (0.4, 0.3, 0.3), (1, 1, 1), rng, prompts=24) for step in (0, 1))
    (facet,) = default_facets(name)
    facet.fit(first)
    expected = facet.labels(later)
    again = pickle.loads(pickle.dumps(facet))
    assert again.labels(later) == expected
    assert len(pickle.dumps(facet)) < 5_000_000  # what it remembers of texts stays here
