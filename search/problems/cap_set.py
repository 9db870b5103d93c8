"""Cap sets: as many vectors of {0, 1, 2}^n as can be, no three of which sum to 0 modulo 3.

FunSearch's problem (Romera-Paredes et al. 2023, Nature 625): a program ranks all vectors, and a set is built greedily
in that order. The sandbox returns the set; that it is a cap set is checked here, so the ranking and the greedy loop,
which share a process, need not be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.problems.open_problem import BestKnown, OpenProblem, Setting, check_sizes, only_last
from search.problems.programs import ProgramEvaluator
from vpo.sandbox import Limits, as_finite_array

LARGEST_KNOWN = {1: 2, 2: 4, 3: 9, 4: 20, 5: 45, 6: 112, 7: 236, 8: 512, 9: 1082}
_STATEMENT = """\
A cap set is a set of vectors of {{0, 1, 2}}^n, no three different ones of which sum to the zero vector modulo 3. \
Write a Python function `priority(el, n)`, where `el` is a tuple of n numbers out of 0, 1, 2, that returns a finite \
number: how early `el` should be taken. All vectors are gone through from the highest priority down (in lexicographic \
order where it is equal), and each is taken unless the set would be no cap set any more. The set should be as large \
as can be; the score for each n of {sizes} is its size divided by {known}, the largest known."""
_SEED = """\
def priority(el, n):
    return 0.0
"""
_GREEDY = '''
def _greedy_cap_set(n):
    """Numbers of the vectors taken; the digits of a number in base 3 are its vector."""
    import itertools, math
    import numpy as np

    scored = []
    for number, el in enumerate(itertools.product((0, 1, 2), repeat=n)):
        score = float(priority(el, n))
        if not math.isfinite(score):
            raise ValueError(f"priority({el}, {n}) is {score}, not a finite number")
        scored.append((-score, number, el))
    scored.sort(key=lambda each: each[:2])
    powers = 3 ** np.arange(n - 1, -1, -1)
    blocked = np.zeros(3**n, dtype=bool)
    taken = np.empty((3**n, n), dtype=np.int64)
    numbers = []
    for _, number, el in scored:
        if blocked[number]:
            continue
        vector = np.array(el)
        blocked[(-taken[: len(numbers)] - vector) % 3 @ powers] = True
        taken[len(numbers)] = vector
        numbers.append(number)
    return numbers
'''


def cap_set(setting: Setting, *, dimensions: int | Sequence[int] = (3, 4, 5, 6, 7, 8)) -> OpenProblem:
    """The problem, with a component for each dimension: size / largest known size. w* is the largest dimension's.

    Args:
        setting: How it is asked and run.
        dimensions: n, at most 9.
    """
    numbers = check_sizes(dimensions, 1, max(LARGEST_KNOWN), "dimensions")
    shown = ", ".join(map(str, numbers))
    last = numbers[-1]
    references = {"no ranking, 2^n": 2**last / LARGEST_KNOWN[last]}
    if last == 8:
        references["before FunSearch, 496"] = 496 / LARGEST_KNOWN[8]
    return OpenProblem(
        name="cap_set",
        statement=_STATEMENT.format(sizes=shown, known=", ".join(str(LARGEST_KNOWN[n]) for n in numbers)),
        seed_program=_SEED,
        evaluator=ProgramEvaluator(
            "_greedy_cap_set",
            lambda value, n: cap_set_size(value, n) / LARGEST_KNOWN[n],
            cases=[[n] for n in numbers],
            components=[f"size_{n}" for n in numbers],
            harness=_GREEDY,
            limits=setting.limits or Limits(seconds=20.0),
            sandbox=setting.sandbox,
        ),
        w_star=only_last(len(numbers)),
        best_known=BestKnown(
            scalar=1.0,
            source=f"{LARGEST_KNOWN[last]} vectors for n = {last} (512 for n = 8: FunSearch, Nature 625; optimal up to "
            "n = 6)",
        ),
        references=references,
        setting=setting,
        id=f"cap_set-{shown.replace(', ', '-')}",
    )


def cap_set_size(value: Any, n: int) -> int:
    """Size of a cap set, given by the numbers whose digits in base 3 are its vectors.

    Raises:
        ValueError: It is no cap set.
    """
    import numpy as np

    numbers = as_finite_array(value, (None,), "int64")
    if (numbers < 0).any() or (numbers >= 3**n).any() or len(set(numbers.tolist())) != len(numbers):
        raise ValueError(f"expected different whole numbers from 0 to {3**n - 1}")
    powers = 3 ** np.arange(n - 1, -1, -1)
    vectors = numbers[:, None] // powers % 3
    there = np.zeros(3**n, dtype=bool)
    there[numbers] = True
    for i in range(1, len(vectors)):  # the third of a line through two different vectors is a third vector
        if there[(-vectors[:i] - vectors[i]) % 3 @ powers].any():
            raise ValueError("three of the vectors sum to 0 modulo 3")
    return len(numbers)
