"""Selection on reward vectors: pure functions from a matrix to a row, each O(N D) a pick."""

from search.selection.cases import EPSILONS, Cases, Epsilon, lexicase
from search.selection.complementary import complementary
from search.selection.dominance import non_dominated, num_wins, shared_wins, specialist_weights
from search.selection.novelty import dominated_novelty

__all__ = [
    "EPSILONS",
    "Cases",
    "Epsilon",
    "complementary",
    "dominated_novelty",
    "lexicase",
    "non_dominated",
    "num_wins",
    "shared_wins",
    "specialist_weights",
]
