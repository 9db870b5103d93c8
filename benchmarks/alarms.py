"""Are the alarms' rates of false ones what they say, and what do they cost in power? Beside the tests written first.

64 prompts with 8 samples each and 10 looks; watched is the share of one format, with the bound at .6. Prompts differ
as much as an intra-prompt correlation of rho says (beta-binomial), fresh at each look or one panel throughout. Null
streams have a mean of exactly .6, the hardest null. "Product", "spread" and "SR" are the three processes of
`vpo.evidence` at an error of 5% (SR for the 10 looks), prompts the units; on a panel "SR, samples" takes each sample
for a unit, which is valid there and there alone. The z-tests count samples or prompts, at 5% a look.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm
from targets import Target, finish, parser

from vpo.evidence import Evidence

PROMPTS, SAMPLES, LOOKS, BOUND, ALPHA = 64, 8, 10, 0.6, 0.05
RHOS = (0.0, 0.1, 0.3, 0.6)
Array = NDArray[np.float64]
RULES = ("z on samples", "z on prompts", "z, Bonferroni", "product", "spread", "SR for 10 looks", "SR, samples")
STREAMS: dict[str, list[float]] = {
    "fast": [0.45, 0.8, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95],
    "late": [0.45, 0.45, 0.45, 0.45, 0.55, 0.65, 0.75, 0.85, 0.9, 0.95],
    "creep": [0.5 + 0.22 * t / 9 for t in range(10)],
}


def prompt_means(mean: float, rho: float, rng: np.random.Generator) -> Array:
    """Chances of the format for each prompt: beta with this mean, correlation rho between a prompt's samples."""
    if rho == 0:
        return np.full(PROMPTS, mean)
    return rng.beta(mean * (1 / rho - 1), (1 - mean) * (1 / rho - 1), PROMPTS)


def stream(means: list[float], rho: float, panel: bool, rng: np.random.Generator) -> list[Array]:
    """(P,) shares at each look. On a panel a prompt keeps its rank, and the mean of the chances is the stated one."""
    if not panel:
        return [rng.binomial(SAMPLES, prompt_means(mean, rho, rng)) / SAMPLES for mean in means]
    ranks = rng.uniform(size=PROMPTS)
    looks, known = [], {}
    for mean in means:
        if mean not in known:
            chances = (
                beta.ppf(ranks, mean * (1 / rho - 1), (1 - mean) * (1 / rho - 1)) if rho else np.full(PROMPTS, mean)
            )
            for _ in range(100):  # clipping moves the mean a little, until it does not
                chances = (chances + mean - chances.mean()).clip(0, 1)
            known[mean] = chances
        looks.append(rng.binomial(SAMPLES, known[mean]) / SAMPLES)
    return looks


def first_alarms(looks: list[Array]) -> list[int | None]:
    """The look at which each rule raises its first alarm."""
    evidence, of_samples = Evidence(BOUND), Evidence(BOUND)
    found: list[int | None] = [None] * len(RULES)
    for number, values in enumerate(looks, 1):
        evidence.look(values)
        of_samples.look((values[:, None] * SAMPLES > np.arange(SAMPLES)).ravel())
        excess = float(values.mean()) - BOUND
        z_samples = excess / math.sqrt(BOUND * (1 - BOUND) / (PROMPTS * SAMPLES))
        z_prompts = excess / max(float(values.std(ddof=1)) / math.sqrt(PROMPTS), 1e-12)
        fired = (
            z_samples > norm.isf(ALPHA),
            z_prompts > norm.isf(ALPHA),
            z_prompts > norm.isf(ALPHA / LOOKS),
            evidence.log_product >= math.log(1 / ALPHA),
            evidence.log_spread >= math.log(1 / ALPHA),
            evidence.log_restarted >= math.log(LOOKS / ALPHA),
            of_samples.log_restarted >= math.log(LOOKS / ALPHA),
        )
        found = [number if old is None and now else old for old, now in zip(found, fired, strict=True)]
    return found


def simulate(make: Callable[[np.random.Generator], list[Array]], runs: int, seed: int) -> list[list[int | None]]:
    rng = np.random.default_rng(seed)
    return [first_alarms(make(rng)) for _ in range(runs)]


def interval(hits: int, runs: int) -> tuple[float, float]:
    """Clopper-Pearson, 95%."""
    low = float(beta.ppf(0.025, hits, runs - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.975, hits + 1, runs - hits)) if hits < runs else 1.0


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    runs = 100 if options.quick else 2000
    results: dict[str, dict[str, Any]] = {}
    targets = []
    print(f"{runs} streams a row: share with an alarm [95% interval]; for streams that change also the median look")
    print(f"{'':26}" + "".join(f"{rule:>26}" for rule in RULES))
    cases = [("null", [BOUND] * LOOKS, rho, panel) for panel in (False, True) for rho in RHOS]
    cases += [
        (name, means, rho, panel) for panel in (False, True) for name, means in STREAMS.items() for rho in RHOS[1:]
    ]
    for number, (name, means, rho, panel) in enumerate(cases):
        alarms = simulate(lambda rng, m=means, r=rho, p=panel: stream(m, r, p, rng), runs, number)  # type: ignore[misc]
        label = f"{name}{', one panel' if panel else ''}, rho {rho}"
        row: dict[str, dict[str, Any]] = {}
        cells = []
        for rule, at in zip(RULES, zip(*alarms, strict=True), strict=True):
            when = sorted(look for look in at if look is not None)
            low, high = interval(len(when), runs)
            median = when[len(when) // 2] if when else None
            at_two = sum(look == 2 for look in when) / runs
            row[rule] = {"rate": len(when) / runs, "interval": [low, high], "median look": median, "at look 2": at_two}
            shown = f" @{median}" if name != "null" and median else ""
            cells.append(f"{len(when) / runs:.3f} [{low:.3f}, {high:.3f}]{shown}")
        results[label] = row
        print(f"{label:26}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
        ours = RULES[3:] if panel else RULES[3:6]
        alarm = row["SR, samples" if panel else "SR for 10 looks"]
        if name == "null":  # the interval's upper end, so that luck does not pass
            worst = max(row[rule]["interval"][1] for rule in ours)
            targets.append(Target(f"false alarms, {label}: upper end of the worst of {len(ours)}", worst, ALPHA, False))
        if name == "fast":
            targets.append(Target(f"{label}: caught at the first look after it", alarm["at look 2"], 0.99))
        if name == "creep":
            targets.append(Target(f"{label}: caught", alarm["rate"], {0.1: 0.99, 0.3: 0.94, 0.6: 0.65}[rho]))
    return finish("alarms", options.quick, {"streams": results}, targets)


if __name__ == "__main__":
    sys.exit(main())
