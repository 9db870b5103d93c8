"""What the measurements say: what loops bought, what is left of it after training, and what chosen depth spends.

``found`` is one policy of one seed: ``found["depths"][depth][group][measure]``, with the depths "1" to "4" and
"chosen", and the groups "all", "alike" and the strata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from arrows.task import STRATA
from arrows.training import CAP
from targets import Target

from eval.bootstrap import mean_and_error

CLOSE = 0.005  # of the answers right: half a point, within which two depths count as equally good
Found = dict[str, Any]
FIXED = tuple(str(loops) for loops in range(1, CAP + 1))
POLICIES = {  # -> the start it is compared with, which answers in the same form
    "start, one answer": None,
    "start, three": None,
    "GRPO": "start, one answer",
    "VPO": "start, three",
    "GRPO at the cap": "start, one answer",
    "VPO at the cap": "start, three",
}


def bought(found: Found, measure: str, group: str = "all") -> float:
    """What loops 2 to the cap buy beyond the first."""
    depths = found["depths"]
    return float(depths[FIXED[-1]][group][measure] - depths["1"][group][measure])


def smallest_good(found: Found, group: str = "all") -> int:
    """The smallest fixed depth with as many right answers as the best one, within CLOSE."""
    right = [found["depths"][depth][group]["right"] for depth in FIXED]
    return next(loops for loops, each in enumerate(right, start=1) if each >= max(right) - CLOSE)


def share_of_loops(found: Found) -> float:
    """Mean loops of a token at chosen depth over the smallest fixed depth that is as good as the best."""
    return float(found["depths"]["chosen"]["all"]["loops"]) / smallest_good(found)


def lost(found: Found) -> float:
    """Right answers that chosen depth has less than the best fixed depth."""
    depths = found["depths"]
    return float(max(depths[depth]["all"]["right"] for depth in FIXED) - depths["chosen"]["all"]["right"])


def per_stratum(found: Found) -> float:
    """Mean loops if every stratum had its own smallest good depth: the best a look at the difficulty could do."""
    return 0.5 * smallest_good(found, "mixed") + 0.125 * sum(smallest_good(found, name) for name in STRATA[:-1])


def pairs(results: Sequence[Found], policy: str) -> list[tuple[Found, Found]]:
    """(trained, its start) for each seed."""
    by = {(found["policy"], found["seed"]): found for found in results}
    seeds = sorted({found["seed"] for found in results})
    start = POLICIES[policy]
    return [(by[policy, seed], by[start, seed]) for seed in seeds if (policy, seed) in by and (start, seed) in by]


def kept(results: Sequence[Found], policy: str, measure: str, group: str = "all") -> list[float]:
    """By seed: what loops buy after training over what they bought before."""
    return [bought(after, measure, group) / bought(before, measure, group) for after, before in pairs(results, policy)]


def show(results: Sequence[Found]) -> None:
    """Print the tables; cells are means and standard errors over seeds."""
    for policy in POLICIES:
        own = [found for found in results if found["policy"] == policy]
        if not own:
            continue
        print(
            f"\n{policy:18}{'loops':>13}{'answer loops':>13}{'right':>14}{'E_w[6]':>14}{'E_w[24]':>14}{'distinct':>13}"
        )
        for depth in own[0]["depths"]:
            cells = {
                name: str(mean_and_error([found["depths"][depth]["all"][name] for found in own]))
                for name in ("loops", "answer loops", "right", "few", "best", "distinct")
            }
            print(
                f"  {depth:16}{cells['loops']:>13}{cells['answer loops']:>13}{cells['right']:>14}{cells['few']:>14}"
                f"{cells['best']:>14}{cells['distinct']:>13}"
            )
        print("  right at 1, 2, 3, 4 loops and chosen, and the loops chosen, by stratum; shares of the kinds")
        for group in STRATA:
            right = " ".join(
                f"{np.mean([found['depths'][depth][group]['right'] for found in own]):.2f}"
                for depth in (*FIXED, "chosen")
            )
            loops, answers = (
                np.mean([found["depths"]["chosen"][group][name] for found in own]) for name in ("loops", "answer loops")
            )
            kinds = np.mean([found["depths"][FIXED[-1]][group]["kinds"] for found in own], axis=0).round(2)
            print(f"    {group:10} {right}   {loops:.2f} ({answers:.2f} of answers)   {kinds}")
    print("\nwhat loops 2 to 4 buy beyond the first: right answers in all / alike / mixed prompts, E_w[6], E_w[24]")
    for policy in POLICIES:
        own = [found for found in results if found["policy"] == policy]
        if own:
            cells = [("right", "all"), ("right", "alike"), ("right", "mixed"), ("few", "all"), ("best", "all")]
            texts = [str(mean_and_error([bought(found, *cell) for found in own])) for cell in cells]
            print(f"  {policy:18}" + "".join(f"{text:>14}" for text in texts))
    print("\nloops a token: smallest good fixed depth / the same for each stratum / chosen")
    for policy in POLICIES:
        own = [found for found in results if found["policy"] == policy]
        if own:
            best, each, chosen = (
                np.mean(values)
                for values in (
                    [smallest_good(found) for found in own],
                    [per_stratum(found) for found in own],
                    [found["depths"]["chosen"]["all"]["loops"] for found in own],
                )
            )
            print(f"  {policy:18}{best:8.2f}{each:8.2f}{chosen:8.2f}")


def targets(results: Sequence[Found], controls: Sequence[dict[str, float]]) -> list[Target]:
    """What was asked before anything was measured."""

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    starts = [found for found in results if found["policy"] == "start, one answer"]
    asked = [
        Target("start: right answers that loops 2 to 4 buy, worst seed", min(bought(f, "right") for f in starts), 0.1),
        Target("taught and used at one loop: right ends", mean([c["one loop"] for c in controls]), 0.5, False),
        Target("start, read for another table: right answers", mean([f["shuffled"] for f in starts]), 0.1, False),
        Target("untrained policy: right answers", mean([c["untrained"] for c in controls]), 0.01, False),
    ]
    for policy in ("GRPO", "VPO"):
        both = pairs(results, policy)
        left = [
            after["depths"]["chosen"]["all"]["distinct"] / before["depths"]["chosen"]["all"]["distinct"]
            for after, before in both
        ]
        share = [share_of_loops(after) for after, _ in both]
        is_vpo = policy == "VPO"
        verb = "keeps of" if is_vpo else "has left of"
        asked += [
            Target(
                f"{policy}: different right answers left of its start's", mean(left), 0.8 if is_vpo else 0.5, is_vpo
            ),
            *(
                Target(
                    f"{policy} {verb} what loops had bought in {name}",
                    mean(kept(results, policy, *measure)),
                    0.9 if is_vpo else 2 / 3,
                    is_vpo,
                )
                for name, measure in {
                    "right answers": ("right", "all"),
                    "right answers to mixed tables": ("right", "mixed"),
                    "E_w[best of 24]": ("best", "all"),
                }.items()
            ),
            Target(f"{policy}: loops at chosen depth over the best fixed depth's", mean(share), 0.6, False),
            Target(
                f"{policy}: right answers lost to the best fixed depth", mean([lost(f) for f, _ in both]), CLOSE, False
            ),
        ]
    return asked
