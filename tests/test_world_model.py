"""The statistics of benchmarks/world_model.py, and the difficulty that it holds depths against."""

from __future__ import annotations

import sys

import pytest
import torch
from scipy.stats import spearmanr

from tests.checkout import ROOT
from vpo.looped.world import Episode, Transitions

sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from world import pendulum
from world.arms import World, new_model, num_parameters
from world.corridors import difficulty, walks
from world.measuring import rank_correlation
from world_model import ratio_reached


def ordered(noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    work = torch.randint(0, 6, (80, 5)).float()
    depth = (work + noise * torch.randn(80, 5)).round().long()
    return depth, work, torch.rand(80, 5) > 0.2


@pytest.mark.parametrize("noise", [0.5, 3.0, 100.0])
def test_the_correlation_is_spearmans_and_its_interval_holds_it(noise: float) -> None:
    depth, work, mask = ordered(noise)
    found = rank_correlation(depth, work, mask)
    assert found["rho"] == pytest.approx(spearmanr(depth[mask], work[mask]).statistic)
    assert found["low"] < found["rho"] < found["high"]
    assert abs(found["shuffled"]) < 0.05
    assert (found["low"] > 0) == (noise < 10)


def test_a_depth_that_never_differs_ranks_nothing() -> None:
    _, work, mask = ordered(0.0)
    assert rank_correlation(torch.ones_like(work), work, mask)["rho"] == 0.0


@pytest.mark.parametrize(
    ("own", "plain", "expected"),
    [
        (3.5, (4, 3, 2, 1), 2**0.5),  # halfway between 1x and 2x, in the logarithm
        (2.0, (4, 3, 2, 1), 4.0),
        (2.0, (4, 5, 2, 1), 4.0),  # a larger model that is worse does not count
        (0.5, (4, 3, 2, 1), 8.0),
        (5.0, (4, 3, 2, 1), 0.0),
        (4.0, (4, 3, 2, 1), 1.0),
    ],
)
def test_the_ratio_is_where_the_plain_curve_crosses(own: float, plain: tuple[float, ...], expected: float) -> None:
    losses = {"looped": own} | {f"plain {ratio}x": loss for ratio, loss in zip((1, 2, 4, 8), plain, strict=True)}
    sizes = dict(zip(losses, (10, 10, 20, 40, 80), strict=True))
    result = {"error": {arm: {"loss": loss} for arm, loss in losses.items()}, "parameters": sizes}
    assert ratio_reached(result) == pytest.approx(expected)
    result["error"]["deep 3"], sizes["deep 3"] = {"loss": 0.4}, 18  # of two shapes the better counts
    assert ratio_reached(result) <= 1.8


def test_a_fast_pendulum_takes_the_solver_more_than_a_slow_one() -> None:
    env, _ = pendulum._new(0)
    work = []
    for speed in (0.0, 3.0, 8.0):
        env.state = torch.tensor([0.5, 0.5, speed, speed]).double().numpy()
        work.append(pendulum.evaluations(env, 1))
    assert work[0] < work[1] < work[2]


def test_the_difficulty_of_a_run_is_the_cells_that_it_enters() -> None:
    data = walks(5, 10, seed=0)
    entered = difficulty(data)[data.mask]
    assert entered.min() == 1 and entered.max() == 4  # a walk makes possible moves only
    length = (data.actions[data.mask] % 4 + 1).float()
    assert torch.equal(entered, length)


def test_a_plain_model_has_the_parameters_that_its_name_says() -> None:
    shape = {"observation_shape": (7, 5, 5), "observation_kind": "binary", "num_actions": 17, "num_rewards": 4}
    nothing = Transitions.of(
        [Episode(torch.zeros(2, 7, 5, 5), torch.zeros(1, dtype=torch.long), torch.zeros(1, 4), True)]
    )
    world = World(shape, 32, 32, 1e-2, 1.0, nothing, nothing, nothing, torch.zeros(1, 1), nothing)
    looped = num_parameters(new_model(world, "looped", 0))
    for ratio in (1, 2, 4, 8):
        assert num_parameters(new_model(world, f"plain {ratio}x", 0)) == pytest.approx(ratio * looped, rel=0.1)
