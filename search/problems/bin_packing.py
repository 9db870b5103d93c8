"""Online bin packing: items come one by one, and a program says which of the bins that still have room takes each.

FunSearch's problem (Romera-Paredes et al. 2023, Nature 625) on its two public sets: OR3, which is ``u500`` of Beasley's
OR-Library (20 instances of 500 items from 20 to 100, bins of 150), and Weibull 5k (5 instances of 5000 items, bins of
100). A component for each instance: L1 / bins used, where L1 = ceil(sum of items / size of a bin) bounds the bins of
any packing from below.

The program ranks bins inside of the sandbox, one item at a time: each item is handed in only when it has been said into
which bin the one before goes (`vpo.sandbox.dialogue`). So no program can look ahead, whatever it does to the loop that
it shares a process with: the items to come are not there. The packing is made up of these decisions, and checked here.
One instance, drawn by the program's text, runs twice, which finds programs that draw at random. What remains: a program
may know the instances by heart. Hence the held-out ones, which follow the published recipes with seeds of ours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from search.problems.open_problem import BestKnown, OpenProblem, Setting
from search.problems.programs import ProgramEvaluator
from vpo.sandbox import Limits, as_finite_array

Instances = Literal["or3", "weibull_5k"]
# FunSearch's programs take some seconds on all of a set, most of them for handing over items; loops in Python, ten.
_LIMITS = {"or3": Limits(seconds=10.0, job_seconds=80.0), "weibull_5k": Limits(seconds=40.0, job_seconds=240.0)}
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
_LOOP = """
def _pack_online(size, num):
    import os, sys
    import numpy as np

    decisions = os.dup(1)
    os.dup2(2, 1)  # what the program prints is no decision
    room = np.full(num, size)
    os.write(decisions, b"\\n")
    for line in sys.stdin.buffer:
        item = int(line)
        places = np.flatnonzero(room >= item)
        scores = np.asarray(priority(item, room[places]))
        if scores.shape != places.shape:
            raise ValueError(f"priority gave {scores.shape} numbers for {places.shape} bins")
        chosen = int(places[np.argmax(scores)])
        room[chosen] -= item
        os.write(decisions, b"%d\\n" % chosen)
"""


def online_evaluator(instances: Sequence[tuple[str, int, list[int]]], **options: Any) -> ProgramEvaluator:
    """Scores packings that are made item by item.

    Args:
        instances: (name, size of a bin, items) each.
        **options: ``limits`` and ``sandbox``, as for `ProgramEvaluator`.
    """
    return ProgramEvaluator(
        "_pack_online",
        _score,
        cases=[[size, len(items)] for _, size, items in instances],
        turns=[list(map(str, items)) for *_, items in instances],
        num_repeated=1,
        components=[name for name, _, _ in instances],
        harness=_LOOP,
        **options,
    )


def _score(bins: Sequence[str], lines: Sequence[str], size: int, num: int) -> float:
    items = [int(line) for line in lines]
    return lower_bound(items, size) / bins_used([int(place) for place in bins], items, size)


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
        evaluator=online_evaluator(shown, **options),
        w_star=(1 / len(shown),) * len(shown),
        best_known=_KNOWN[instances],
        references=_REFERENCES[instances],
        held_out=online_evaluator(held_out_instances(instances), **options),
        setting=setting,
        id=f"bin_packing-{instances}",
    )


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
