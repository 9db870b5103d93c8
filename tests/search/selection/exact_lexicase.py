"""Exact selection probabilities from the definitions, in plain Python: an oracle that shares no code with ours."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations
from statistics import median

Vectors = Sequence[Sequence[float]]


def mad(values: Sequence[float]) -> float:
    middle = median(values)
    return median(abs(value - middle) for value in values)


def survivors(vectors: Vectors, order: Sequence[int], epsilon: str) -> list[int]:
    """Rows that are left at the end of one order of components."""
    everybody = range(len(vectors))
    columns = list(zip(*vectors, strict=True))
    if epsilon == "static":
        passed = [[vector[c] >= max(columns[c]) - mad(columns[c]) for c in range(len(columns))] for vector in vectors]
        return survivors(passed, order, "none")
    alive = list(everybody)
    for component in order:
        pool = [vectors[index][component] for index in alive]
        margin = {"none": 0.0, "semi-dynamic": mad(columns[component]), "dynamic": mad(pool)}[epsilon]
        alive = [index for index in alive if vectors[index][component] >= max(pool) - margin]
    return alive


def probabilities(vectors: Vectors, epsilon: str = "none", num_components: int | None = None) -> list[Fraction]:
    """Average over all subsets of components, all orders, and all ties."""
    num = len(vectors[0])
    orders = [o for s in combinations(range(num), num_components or num) for o in permutations(s)]
    chances = [Fraction(0)] * len(vectors)
    for order in orders:
        left = survivors(vectors, order, epsilon)
        for index in left:
            chances[index] += Fraction(1, len(left) * len(orders))
    return chances


class Scripted(random.Random):
    """A generator whose subset, order and tie are given, so that every outcome can be walked through."""

    def __init__(self, order: Sequence[int], tie: Callable[[int], int]) -> None:
        super().__init__(0)
        self.order, self.tie = list(order), tie

    def sample(self, population, k, *, counts=None):
        assert k == len(self.order)
        return list(self.order)

    def shuffle(self, x):
        assert sorted(x) == sorted(self.order)
        x[:] = self.order

    def randrange(self, start, stop=None, step=1):
        return self.tie(start)


def walked(pick: Callable[[random.Random], int], vectors: Vectors, num_components: int | None = None) -> list[Fraction]:
    """Exact probabilities of ``pick``, which draws from the generator it is given, over all orders and ties."""
    num = len(vectors[0])
    orders = [o for s in combinations(range(num), num_components or num) for o in permutations(s)]
    chances = [Fraction(0)] * len(vectors)
    for order in orders:
        sizes: list[int] = []
        pick(Scripted(order, lambda size: sizes.append(size) or 0))  # noqa: B023 - called at once
        for tie in range(sizes[0]):
            chances[pick(Scripted(order, lambda size, tie=tie: tie))] += Fraction(1, sizes[0] * len(orders))
    return chances
