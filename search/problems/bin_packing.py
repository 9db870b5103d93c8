"""Online bin packing: items come one by one, and a program says which of the bins that still have room takes each.

FunSearch's problem (Romera-Paredes et al. 2023, Nature 625) on its two public sets: OR3, which is ``u500`` of Beasley's
OR-Library (20 instances of 500 items from 20 to 100, bins of 150), and Weibull 5k (5 instances of 5000 items, bins of
100). A component for each instance: L1 / bins used, where L1 = ceil(sum of items / size of a bin) bounds the bins of
any packing from below.

The program ranks bins inside of the sandbox, and which item went where comes back. The packing is checked here, and so
is that it was made online. The loop shares a process with the program, which could look ahead in it. So the program
also gets *twins*: instances that begin with the same items and go on with others. An online program that is a function
of what it is told must treat the beginning alike; one that does not is invalid, and so is one that draws at random.
Every instance has a twin, and where it parts depends on the program's text. What remains: a program that looks one or
two items ahead and seldom acts on it can be missed; and one may know the instances by heart. Hence the held-out ones,
which follow the published recipes with seeds of ours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from search.problems.open_problem import BestKnown, OpenProblem, Setting
from search.problems.programs import ProgramEvaluator
from search.seeds import stable_hash
from vpo.sandbox import Limits, Result, as_finite_array

Instances = Literal["or3", "weibull_5k"]
# FunSearch's programs take about a second on all of a set; loops in Python over bins, ten.
_LIMITS = {"or3": Limits(seconds=10.0, job_seconds=40.0), "weibull_5k": Limits(seconds=40.0, job_seconds=120.0)}
_HELD_OUT_SEED = 20260101
_KNOWN = {
    "or3": BestKnown(
        scalar=0.969962,
        source="FunSearch, Nature 625: 207.45 bins on average, 3.11% above L1, by the program printed there",
    ),
    "weibull_5k": BestKnown(
        scalar=0.993199,
        source="FunSearch, Nature 625: 2001.4 bins on average, 0.68% above L1, by the program printed there",
    ),
}
_REFERENCES = {
    "or3": {"first fit": 0.945769, "best fit": 0.949080},
    "weibull_5k": {"first fit": 0.959458, "best fit": 0.961687},
}
_STATEMENT = """\
Online bin packing. Items come one by one, and each must be put at once into one of the bins that still have room for \
it; at the start there are as many empty bins of size {size} as items. Few bins should be used in the end. Write a \
Python function `priority(item, bins)`, where `item` is the size of the item and `bins` a numpy array of the room left \
in each bin that has enough (empty bins among them, in the order in which the bins stand), which returns an array of \
as many numbers: the item goes to the bin with the highest one, the first of them if several are equal. It must depend \
on its arguments alone: programs that look ahead, remember other instances or draw at random are invalid. It is run on \
{num} instances of {items} items {kind}; the score of each is the sum of its items by {size}, rounded up, divided by \
the bins used."""
_KIND = {"or3": "from 20 to 100, uniformly drawn", "weibull_5k": "from 1 to 100, of a Weibull distribution"}
_SEED = """\
def priority(item, bins):
    # best fit
    return -(bins - item)
"""
_LOOP = '''
def _pack_online(items, size):
    """Bin of each item."""
    import numpy as np

    room = np.full(len(items), size)
    bins = []
    for item in items:
        places = np.flatnonzero(room >= item)
        scores = np.asarray(priority(item, room[places]))
        if scores.shape != places.shape:
            raise ValueError(f"priority gave {scores.shape} numbers for {places.shape} bins")
        chosen = int(places[np.argmax(scores)])
        room[chosen] -= item
        bins.append(chosen)
    return bins
'''


class OnlineEvaluator(ProgramEvaluator):
    """Scores packings, and looks for programs that see the future; see the module.

    Args:
        instances: (name, size of a bin, items) each.
        limits, sandbox: As for `ProgramEvaluator`.
    """

    def __init__(self, instances: Sequence[tuple[str, int, list[int]]], **options: Any) -> None:
        self._instances = instances
        super().__init__(
            "_pack_online",
            lambda value, items, size: lower_bound(items, size) / bins_used(value, items, size),
            cases=[[items, size] for _, size, items in instances],
            components=[name for name, _, _ in instances],
            harness=_LOOP,
            **options,
        )

    def extra_cases(self, program: str) -> list[list[Any]]:
        """The twins of a program: an instance's first items, then others of the same kind."""
        return [[items, size] for _, _, items, size in self._twins(program)]

    def check(self, program: str, results: Sequence[Result], extra: Sequence[Result]) -> str | None:
        """Whether the beginnings were packed alike."""
        for (place, start, _, _), twin in zip(self._twins(program), extra, strict=True):
            own, name = results[place], self._instances[place][0]
            if own.status == "ok" and twin.status != "ok":
                return f"{name} was packed, and an instance that begins alike was not: {twin.status}, {twin.detail}"
            if own.status == "ok" and _first(twin, start) != _first(own, start):
                return (
                    f"not an online program: the first {start} items of {name} were packed "
                    "otherwise when other items followed them. The priority must depend on its arguments alone."
                )
        return None

    def _twins(self, program: str) -> list[tuple[int, int, list[int], int]]:
        """(instance, items in common, items, size of a bin) each."""
        rng = random.Random(stable_hash("twins", program))
        found = []
        for place, (_, size, items) in enumerate(self._instances):
            start = rng.randrange(len(items) // 10, len(items) * 9 // 10)
            found.append((place, start, [*items[:start], *rng.choices(items, k=len(items) - start)], size))
        return found


def bin_packing(setting: Setting, *, instances: Instances = "or3") -> OpenProblem:
    """The problem, with a component for each instance. w* is uniform.

    Args:
        setting: How it is asked and run.
        instances: Which set.
    """
    if instances not in _KNOWN:
        raise ValueError(f"instances is {instances!r}: expected 'or3' or 'weibull_5k'.")
    shown = load_instances(instances)
    options = {"limits": setting.limits or _LIMITS[instances], "sandbox": setting.sandbox}
    return OpenProblem(
        name="bin_packing",
        statement=_STATEMENT.format(size=shown[0][1], num=len(shown), items=len(shown[0][2]), kind=_KIND[instances]),
        seed_program=_SEED,
        evaluator=OnlineEvaluator(shown, **options),
        w_star=(1 / len(shown),) * len(shown),
        best_known=_KNOWN[instances],
        references=_REFERENCES[instances],
        held_out=OnlineEvaluator(held_out_instances(instances), **options),
        setting=setting,
        id=f"bin_packing-{instances}",
    )


def _first(result: Result, num: int) -> Any:
    return result.value[:num] if isinstance(result.value, list) else result.value


@lru_cache(maxsize=2)
def load_instances(name: Instances) -> list[tuple[str, int, list[int]]]:
    """Published instances: (name, size of a bin, items in the order in which they come) each.

    OR3 is u500 of J. E. Beasley's OR-Library; Weibull 5k is FunSearch's test set (google-deepmind/funsearch, CC BY).
    """
    words = iter(files("search.problems").joinpath("instances", f"{name}.txt").read_text("ascii").split())
    return [(each, int(next(words)), [int(next(words)) for _ in range(int(next(words)))]) for each in words]


@lru_cache(maxsize=2)
def held_out_instances(name: Instances) -> list[tuple[str, int, list[int]]]:
    """Instances of ours by the published recipes: as many, as long, with a seed of our own.

    OR3: whole numbers from 20 to 100, uniformly. Weibull 5k: scale 45, shape 3, rounded, at most 100 (and at least 1).
    """
    rng = random.Random(f"{name}-{_HELD_OUT_SEED}")
    if name == "or3":
        return [(f"held_out_{i:02}", 150, [rng.randint(20, 100) for _ in range(500)]) for i in range(20)]
    return [
        (f"held_out_{i}", 100, [min(100, max(1, round(rng.weibullvariate(45, 3)))) for _ in range(5000)])
        for i in range(5)
    ]


def lower_bound(items: Sequence[int], size: int) -> int:
    """L1: bins that the items would fill if they were water."""
    return -(-sum(items) // size)


def bins_used(value: Any, items: Sequence[int], size: int) -> int:
    """Bins of a packing, given as the bin of each item.

    Raises:
        ValueError: It is no packing, or a bin is too full.
    """
    bins = as_finite_array(value, (len(items),), "int64").tolist()
    filled: dict[int, int] = {}
    for place, item in zip(bins, items, strict=True):
        filled[place] = filled.get(place, 0) + item
    if max(filled.values()) > size:
        raise ValueError(f"a bin of size {size} holds {max(filled.values())}")
    return len(filled)
