from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.checkout import ROOT
from vpo.looped.world import Episode, LoopedWorldModel, TrainingPlan, Transitions, WorldModelConfig, train

PLAN = TrainingPlan(updates=12, batch_size=8, save_every=5, warmup=2, seed=3)


def rotation(count: int = 40, steps: int = 4) -> Transitions:
    """A point on a circle that each action turns one way or the other; rewarded with its height."""
    draws = torch.Generator().manual_seed(0)
    episodes = []
    for _ in range(count):
        actions = torch.randint(2, (steps,), generator=draws)
        turns = torch.cat([torch.zeros(1), torch.where(actions > 0, 0.7, -0.4).cumsum(0)])
        angles = 6.3 * torch.rand(1, generator=draws) + turns
        observations = torch.stack([angles.cos(), angles.sin()], 1)
        episodes.append(Episode(observations, actions, observations[1:, 1:], False))
    return Transitions.of(episodes)


def new_model(**settings: object) -> LoopedWorldModel:
    torch.manual_seed(0)
    return LoopedWorldModel(
        WorldModelConfig(observation_shape=(2,), hidden_size=8, mean_loops=2, max_loops=4, **settings)
    )


def weights(model: LoopedWorldModel) -> Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def test_a_model_learns_a_simple_world() -> None:
    model, data = new_model(), rotation()
    losses = train(model, data, TrainingPlan(updates=80, batch_size=16, lr=2e-2, warmup=5))
    assert sum(losses[-10:]) < losses[0]
    out = model.rollout(data.observations[:, 0], data.actions)
    persistence = (data.observations[:, 1:] - data.observations[:, :1]).square().mean()
    assert (out.observations - data.observations[:, 1:]).square().mean() < 0.4 * persistence
    assert not model.training


@pytest.mark.parametrize("stop", [1, 5, 7, 11])
def test_ctrl_c_loses_nothing(stop: int, tmp_path: Path) -> None:
    whole = new_model()
    expected = train(whole, rotation(), PLAN)

    def interrupt(done: int, of: int, loss: float) -> None:
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(new_model(), rotation(), PLAN, tmp_path, progress=interrupt)
    resumed, seen = new_model(), []
    losses = train(resumed, rotation(), PLAN, tmp_path, progress=lambda done, of, loss: seen.append(done))
    assert seen == list(range(stop + 1, 13))
    assert losses == expected and torch.equal(weights(resumed), weights(whole))


def test_ctrl_c_within_an_update_saves_the_state_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken, calls = new_model(), new_model(), []
    expected = train(whole, rotation(), PLAN)

    def forward(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 8:
            torch.rand(3)  # draws of an update that never is
            raise KeyboardInterrupt
        return LoopedWorldModel.forward(broken, *args, **options)

    monkeypatch.setattr(broken, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        train(broken, rotation(), PLAN, tmp_path)
    resumed = new_model()
    assert train(resumed, rotation(), PLAN, tmp_path) == expected
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.vpo.looped.world.test_training import *\n"
        "train(new_model(), rotation(), PLAN, sys.argv[1], progress=lambda done, of, loss: print(done, flush=True) or "
        "(os.kill(os.getpid(), signal.SIGKILL) if done == 7 else None))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole, resumed, seen = new_model(), new_model(), []
    expected = train(whole, rotation(), PLAN)
    losses = train(resumed, rotation(), PLAN, tmp_path, progress=lambda done, of, loss: seen.append(done))
    assert seen[0] == 6
    assert losses == expected and torch.equal(weights(resumed), weights(whole))


def test_the_same_seed_gives_the_same_model_and_leaves_other_draws_alone() -> None:
    first, second, other = new_model(), new_model(), new_model()
    torch.manual_seed(1)
    train(first, rotation(), PLAN)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    train(second, rotation(), PLAN)
    train(other, rotation(), TrainingPlan(**{**vars(PLAN), "seed": 4}))
    assert torch.equal(weights(first), weights(second)) and not torch.equal(weights(first), weights(other))


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    train(new_model(), rotation(), PLAN, tmp_path)
    with pytest.raises(ValueError, match=r"another plan: lr changed\. Choose another folder"):
        train(new_model(), rotation(), TrainingPlan(**{**vars(PLAN), "lr": 1e-4}), tmp_path)
    with pytest.raises(ValueError, match="of another model"):
        train(new_model(inner_size=8), rotation(), PLAN, tmp_path)


def test_a_loss_that_is_not_finite_stops_with_advice() -> None:
    data = rotation()
    data.observations[:, 1:] = torch.nan
    data.observations[:, 0] = 0
    with pytest.raises(FloatingPointError, match="at update 1; the weights are those before it"):
        train(new_model(), data, PLAN)


@pytest.mark.parametrize(("name", "value"), [("updates", 0), ("lr", -1.0), ("see", 1.5)])
def test_plans_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        TrainingPlan(**{name: value})
