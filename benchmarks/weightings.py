"""How many weightings does an advantage need, and are Sobol points worth it?

Groups of G = 8 completions with m = 3 answers and d components get their advantages under K drawn weightings, many
times over with other draws. Printed is the standard deviation of an advantage about its limit (exact integration for
d = 2, 2^15 Sobol points otherwise), where advantages themselves have a standard deviation of 1: by d, K and way of
drawing, and for draws that every completion makes for itself instead of sharing its group's. Then what three
specialists earn, each solving a third of the components, at alpha = 1 and at alpha = 1/d; three equals earn 1/3.
"""

from __future__ import annotations

import statistics
import sys

import torch
from targets import Target, finish, parser

from eval.bootstrap import mean_and_error
from vpo.objective import exact_set_reward, group_advantages, set_reward
from vpo.weightings import Dirichlet, weighting_seed

GROUP, ANSWERS = 8, 3
KS = (1, 4, 10, 32, 100, 320)
DIMS = (2, 4, 16)


def sets(groups: int, dim: int, seed: int) -> torch.Tensor:
    """(P, G, M, D) answers that specialise: each is good at a random half of the components."""
    generator = torch.Generator().manual_seed(seed)
    shape = (groups, GROUP, ANSWERS, dim)
    good = torch.rand(shape, generator=generator) < 0.5
    return torch.where(good, 0.6, 0.1) + 0.3 * torch.rand(shape, generator=generator)


def advantages(rewards: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return group_advantages(set_reward(rewards, weights).flatten(), GROUP).view(-1, GROUP)


def limit(rewards: torch.Tensor) -> torch.Tensor:
    dim = rewards.shape[-1]
    if dim == 2:
        scores = exact_set_reward(rewards, torch.ones(2))
    else:
        scores = set_reward(rewards, Dirichlet(1.0, "sobol").draw(1 << 15, dim, 1))
    return group_advantages(scores.flatten(), GROUP).view(-1, GROUP)


def noise(rewards: torch.Tensor, num: int, method: str, draws: int, seed: int) -> float:
    """Root mean square difference of advantages from their limit."""
    target, squares = limit(rewards), []
    groups, dim = len(rewards), rewards.shape[-1]
    for draw in range(draws):
        if method == "iid, not shared":
            drawn = Dirichlet().draw(num * groups * GROUP, dim, weighting_seed(seed, draw, 0))
            weights = drawn.view(groups, GROUP, num, dim)
        else:
            own = [Dirichlet(1.0, method).draw(num, dim, weighting_seed(seed, draw, group)) for group in range(groups)]
            weights = torch.stack(own).unsqueeze(1)
        squares.append((advantages(rewards, weights) - target).square().mean().item())
    return statistics.fmean(squares) ** 0.5


def specialists_pay(dim: int, alpha: float | str) -> float:
    """Set reward of three answers that solve a disjoint third of the components each."""
    answers = torch.eye(3).repeat_interleave(dim // 3, dim=1)
    return set_reward(answers, Dirichlet(alpha, "sobol").draw(1 << 14, dim, 0)).item()


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    seeds = [0] if options.quick else [0, 1, 2, 3]
    groups, draws = (8, 4) if options.quick else (64, 25)
    methods = ("iid, not shared", "iid", "sobol")
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for dim in DIMS:
        table = results[f"d = {dim}"] = {method: {} for method in methods}
        for method in methods:
            for num in KS:
                table[method][str(num)] = [noise(sets(groups, dim, s), num, method, draws, s) for s in seeds]
        print(f"\nd = {dim}: noise of an advantage by K, mean (standard error) over seeds {seeds}")
        print(f"{'':18}" + "".join(f"{f'K = {num}':>16}" for num in KS))
        for method in methods:
            print(f"{method:18}" + "".join(f"{mean_and_error(table[method][str(n)])!s:>16}" for n in KS))
    pay = {dim: [specialists_pay(dim, alpha) for alpha in (1.0, "1/d")] for dim in (3, 6, 9, 15, 30)}
    print(f"\n{'pay of three specialists':26}" + "".join(f"{f'd = {dim}':>10}" for dim in pay))
    for row, alpha in enumerate(("alpha = 1", "alpha = 1/d")):
        print(f"{alpha:26}" + "".join(f"{values[row]:10.3f}" for values in pay.values()))
    targets = [Target("pay of three specialists at alpha = 1/d, d = 30 / d = 3", pay[30][1] / pay[3][1], 0.95)]
    for dim in DIMS:
        table = results[f"d = {dim}"]
        ratio = statistics.fmean((a / b) ** 2 for a, b in zip(table["iid"]["100"], table["sobol"]["100"], strict=True))
        targets.append(Target(f"d = {dim}, K = 100: variance of an advantage, iid / Sobol draws", ratio, 2.0))
        shared = statistics.fmean(
            (a / b) ** 2 for a, b in zip(table["iid, not shared"]["100"], table["iid"]["100"], strict=True)
        )
        targets.append(Target(f"d = {dim}, K = 100: variance, own / shared draws", shared, 1.0))
    return finish("weightings", options.quick, {"seeds": seeds, "noise": results, "specialists_pay": pay}, targets)


if __name__ == "__main__":
    sys.exit(main())
