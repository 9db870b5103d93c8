from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from vpo.looped.depth import ACT, DepthPolicy, FixedDepth, FixedPoint, LearnedGate, RandomDepth
from vpo.looped.world import LoopedWorldModel, Transitions, WorldModelConfig, WorldModelOutput

KINDS = {
    "numbers": {"observation_shape": (3,), "num_actions": 4},
    "bits": {"observation_shape": (2, 3, 4), "observation_kind": "binary", "num_actions": 4},
    "vector actions": {"observation_shape": (3,), "action_size": 2, "coda_layers": 1, "prelude_layers": 0},
}
POLICY = FixedPoint(tol=0.2, cap=6, patience=0)


def model_of(kind: str, **settings: object) -> LoopedWorldModel:
    torch.manual_seed(0)
    model = LoopedWorldModel(WorldModelConfig(num_rewards=2, hidden_size=8, core_layers=2, **KINDS[kind], **settings))
    return model.double().eval()


def data_of(kind: str, batch: int = 5, steps: int = 4, seed: int = 1) -> Transitions:
    torch.manual_seed(seed)
    shape = KINDS[kind]["observation_shape"]
    observations = torch.randn(batch, steps + 1, *shape, dtype=torch.float64)
    actions = torch.randint(4, (batch, steps))
    if kind == "bits":
        observations = (observations > 0).double()
    if kind == "vector actions":
        actions = torch.randn(batch, steps, 2, dtype=torch.float64)
    going = torch.ones(batch, steps, dtype=torch.float64)
    rewards = torch.randn(batch, steps, 2, dtype=torch.float64)
    return Transitions(observations, actions, rewards, going, torch.ones(batch, steps, dtype=torch.bool))


def run(model: LoopedWorldModel, data: Transitions, see: Tensor | None = None, **options: object) -> WorldModelOutput:
    targets = (data.observations, data.actions, data.rewards, data.continues, data.mask, see)
    return model(*targets, **options)


def assert_close(left: WorldModelOutput, right: WorldModelOutput, rows: object = slice(None)) -> None:
    for name in ("observations", "rewards", "continues", "depths", "residuals", "state_norms"):
        assert torch.allclose(left[name], right[name][rows], atol=1e-6), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollout_is_the_same_step_by_step(kind: str) -> None:
    model, data = model_of(kind), data_of(kind)
    whole = model.rollout(data.observations[:, 0], data.actions, depth_policy=POLICY)
    observation, state = data.observations[:, 0], None
    for t in range(data.horizon):
        step = model.rollout(observation, data.actions[:, t : t + 1], state, depth_policy=POLICY)
        for name in ("observations", "rewards", "continues", "depths"):
            assert torch.allclose(step[name][:, 0], whole[name][:, t], atol=1e-12), name
        observation, state = step.observations[:, 0], step.state
    assert torch.allclose(state, whole.state)
    assert whole.observations.shape == data.observations[:, 1:].shape
    assert whole.depths.shape == data.mask.shape and whole.rewards.shape == data.rewards.shape


def test_a_rollout_goes_on_from_bits_and_from_the_state() -> None:
    """Probabilities are rounded before they are seen again; and a step knows what the steps before it left behind."""
    model, data = model_of("bits"), data_of("bits")
    first = model.rollout(data.observations[:, 0], data.actions[:, :1])
    soft = first.observations[:, 0]
    assert ((soft > 0.01) & (soft < 0.99)).any()
    rest = [model.rollout(seen, data.actions[:, 1:], first.state).observations for seen in (soft, soft.round())]
    assert torch.equal(*rest)
    assert not torch.allclose(rest[0], model.rollout(soft, data.actions[:, 1:]).observations)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", [FixedDepth(3), POLICY, LearnedGate(0.4, cap=6)], ids=lambda policy: policy.kind)
def test_what_a_sequence_gets_does_not_depend_on_its_batch_mates(kind: str, policy: DepthPolicy) -> None:
    model, data = model_of(kind), data_of(kind)
    together = run(model, data, depth_policy=policy)
    for row in range(len(data)):
        alone = run(model, data.take(slice(row, row + 1)), depth_policy=policy)
        assert_close(alone, together, slice(row, row + 1))


def test_depths_differ_within_a_batch() -> None:
    """Else the test above would show nothing of halting."""
    assert run(model_of("numbers"), data_of("numbers"), depth_policy=POLICY).depths.unique().numel() > 1


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_matter(kind: str) -> None:
    model, data = model_of(kind), data_of(kind)
    mask = torch.arange(data.horizon) < torch.tensor([4, 1, 3, 2, 4])[:, None]
    padded = Transitions(data.observations, data.actions, data.rewards, data.continues, mask)
    garbage = data_of(kind, seed=9)

    def mixed(name: str) -> Tensor:
        ours, theirs = getattr(data, name).clone(), getattr(garbage, name)
        last = 1 if name == "observations" else 0
        for row, length in enumerate(mask.sum(1).tolist()):
            ours[row, length + last :] = theirs[row, length + last :]
        return ours

    names = ("observations", "actions", "rewards", "continues")
    other = Transitions(*(mixed(name) for name in names), mask)
    first, second = run(model, padded, depth_policy=POLICY), run(model, other, depth_policy=POLICY)
    for name in ("observations", "rewards", "losses", "depths"):
        assert torch.allclose(first[name][mask], second[name][mask]), name
    assert torch.allclose(first.loss, second.loss)
    assert (first.depths[~mask] == 1).all() and (first.losses[~mask] == 0).all()
    short = run(model, data.take(slice(2, 3)), depth_policy=POLICY)
    assert torch.allclose(first.losses[2, :3], short.losses[0, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_reaches_every_parameter_but_the_gate(kind: str) -> None:
    model, data = model_of(kind), data_of(kind, batch=16)
    run(model, data, depth_policy=model.config.training_depth).loss.backward()
    reached = {name for name, each in model.named_parameters() if each.grad is not None and bool(each.grad.any())}
    assert reached == {name for name, _ in model.named_parameters() if "halt_gate" not in name}


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_loading_gives_the_same_model(kind: str, tmp_path: Path) -> None:
    model, data = model_of(kind).float(), data_of(kind)
    data = Transitions(*(each.float() if each.is_floating_point() else each for each in vars(data).values()))
    model.standardise(data)
    model.depth_policy = POLICY
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, LoopedWorldModel) and loaded.depth_policy == POLICY
    assert loaded.config.observation_shape == model.config.observation_shape
    assert_close(run(loaded, data), run(model, data))


def test_standardising_makes_a_linear_change_of_units_invisible() -> None:
    data = data_of("numbers", batch=50)
    scale, shift = torch.tensor([10.0, 0.1, 3.0]).double(), torch.tensor([5.0, -2.0, 0.0]).double()
    other = Transitions(
        data.observations * scale + shift, data.actions, data.rewards * 7 - 1, data.continues, data.mask
    )
    outs = []
    for each in (data, other):
        model = model_of("numbers")
        model.standardise(each)
        outs.append(run(model, each, see=torch.zeros_like(each.mask)))
    assert torch.allclose(outs[0].loss, outs[1].loss)
    assert torch.allclose(outs[0].observations * scale + shift, outs[1].observations)


def test_an_expected_return_stops_where_the_sequence_is_expected_to_end() -> None:
    rewards = torch.tensor([[[1.0, 0.0], [2.0, 4.0], [8.0, 8.0]]])
    out = WorldModelOutput(rewards=rewards, continues=torch.tensor([[0.5, 0.0, 1.0]]))
    assert out.returns.tolist() == [[1 + 0.5 * 2, 0.5 * 4]]


def test_the_loss_after_the_last_loop_is_the_loss() -> None:
    model, data = model_of("bits"), data_of("bits")
    out = run(model, data, depth_policy=FixedDepth(3), output_loop_losses=True)
    assert out.loop_losses.shape == (3, 5, 4) and out.gate_inputs.shape == (3, 5, 4, 8)
    assert torch.allclose(out.loop_losses[-1], out.losses)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": torch.zeros(5, 5, 2)}, r"expected \(B, T, 3\)"),
        ({"actions": torch.zeros(5, 4)}, "expected .* integers"),
        ({"actions": torch.full((5, 4), 4)}, "numbered 4 to 4: expected 0 to 3"),
        ({"mask": torch.ones(5, 3)}, "mask has shape"),
        ({"rewards": None}, "needs rewards and continues"),
        ({"observations": torch.zeros(5, 4, 3)}, "4 observations for 4 steps: expected 5"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    data = data_of("numbers")
    names = ("observations", "actions", "rewards", "continues", "mask")
    with pytest.raises(ValueError, match=message):
        model_of("numbers")(**{name: getattr(data, name) for name in names} | changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observation_shape": (3, 4)}, r"expected \(D,\) for a vector"),
        ({"observation_kind": "text"}, "expected 'real' or 'binary'"),
        ({"num_actions": 2, "action_size": 2}, "expected one of the two"),
        ({"injection": "mixed"}, "expected one of gate"),
        ({"retention_init": 1.0}, "strictly between 0 and 1"),
        ({"mean_loops": 6, "max_loops": 5}, "max_loops is 5: expected 6 or more"),
        ({"depth_policy": RandomDepth(1, 3)}, "cannot be saved with it"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldModelConfig(**settings)


def test_a_policy_of_training_is_refused_as_the_models_own() -> None:
    model = model_of("numbers")
    with pytest.raises(ValueError, match="cannot be saved"):
        model.depth_policy = RandomDepth(1, 3)
    model.depth_policy = ACT(cap=3)
    assert model.depth_policy == ACT(cap=3)
