import random

import numpy as np
import pytest
from scipy.stats import chisquare

from search.selection.draws import draw, softmax


class Fixed(random.Random):
    def __init__(self, value):
        super().__init__(0)
        self.value = value

    def random(self):
        return self.value


def test_draws_are_proportional_to_the_weights():
    weights, rng = np.array([1.0, 0.0, 3.0, 2.0]), random.Random(0)
    counts = np.bincount([draw(weights, rng) for _ in range(6000)], minlength=4)
    assert counts[1] == 0
    assert chisquare(counts[[0, 2, 3]], 1000 * np.array([1, 3, 2])).pvalue > 1e-3


@pytest.mark.parametrize(("uniform", "index"), [(0.0, 1), (0.249, 1), (0.25, 3), (1 - 2**-53, 3)])
def test_weightless_ends_are_never_drawn(uniform, index):
    assert draw(np.array([0.0, 1.0, 0.0, 3.0, 0.0]), Fixed(uniform)) == index


def test_softmax_of_a_case_worked_by_hand_and_at_its_limits():
    assert softmax(np.array([0.0, np.log(3.0) / 10]), 0.1) == pytest.approx([0.25, 0.75])
    assert softmax(np.array([1.0, 2.0, 2.0]), 0).tolist() == [0, 0.5, 0.5]
    assert softmax(np.array([0.0, 1.0]), 1e-320).tolist() == [0, 1]
