"""Who decides the depth of a call, and what is saved of it."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
)

from tests.vpo.looped.tiny_looped import ADAPTIVE, SIZES, build, tokens
from vpo.looped import (
    FixedDepth,
    FixedPoint,
    LearnedGate,
    LoopedConfig,
    RandomDepth,
)


def test_a_fixed_depth_is_saved_with_the_model(tmp_path):
    model = build(num_loops=2)
    model.depth_policy = FixedDepth(4)
    model.save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).depth_policy == FixedDepth(4)
    model.depth_policy = RandomDepth(1, 3)  # for training only: what is saved stays the fixed one
    assert model.config.num_loops == 4


def test_random_depth_gives_each_row_the_result_of_its_own_fixed_depth():
    model, ids = build(), tokens(6, 7)
    model.depth_policy = RandomDepth(1, 4)
    torch.manual_seed(3)
    depths = model.depth_policy.draw(6, torch.device("cpu"))
    torch.manual_seed(3)
    mixed = model(ids, use_cache=False).logits
    assert len(set(depths.tolist())) > 1
    for row, depth in enumerate(depths.tolist()):
        assert torch.allclose(
            mixed[row], model(ids[row : row + 1], num_loops=depth, use_cache=False).logits[0], atol=1e-5
        )


def test_the_depth_is_chosen_by_the_call_then_by_the_generation_configuration_then_by_the_model(tmp_path):
    model, ids = build(halt_gate=True), tokens(1, 4)
    model.depth_policy = FixedDepth(2)

    def depths(model, **options):
        options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, **options}
        out = model.generate(ids, return_dict_in_generate=True, **options)
        return set(out.past_key_values.trace.depth.flatten().tolist())

    assert depths(model) == {2}
    model.generation_config = GenerationConfig(depth_policy={"kind": "fixed", "num_loops": 3}, pad_token_id=0)
    assert depths(model) == {3}
    assert depths(model, num_loops=4) == {4}
    with pytest.raises(ValueError, match=r"generate got .*: expected one of them"):
        depths(model, num_loops=4, depth_policy=FixedDepth(5))
    assert depths(model, depth_policy=FixedDepth(5)) == {5}
    assert depths(model, depth_policy={"kind": "fixed", "num_loops": 5}) == {5}
    assert len(depths(model, depth_policy=FixedPoint(tol=0.3, cap=6))) > 1
    model.save_pretrained(tmp_path)  # the generation configuration is saved with it, and read back
    assert depths(AutoModelForCausalLM.from_pretrained(tmp_path)) == {3}
    model.generation_config = GenerationConfig(num_loops=6, pad_token_id=0)
    assert depths(model) == {6}


def test_a_policy_is_taken_as_an_object_or_as_its_dict_and_nothing_else():
    model, ids = build(), tokens(1, 4)
    settings = {"kind": "fixed_point", "tol": 0.3, "cap": 5}
    model.depth_policy = settings
    assert model.depth_policy == FixedPoint(tol=0.3, cap=5)
    assert torch.equal(model(ids).loop_depths, model(ids, depth_policy=settings).loop_depths)
    for broken, message in ((7, "7 is no depth policy"), ({"kind": "magic"}, "'magic' is not known")):
        with pytest.raises(ValueError, match=message):
            model.depth_policy = broken
        with pytest.raises(ValueError, match=message):
            model(ids, depth_policy=broken)
    assert model.depth_policy == FixedPoint(tol=0.3, cap=5)  # a refused value leaves the old one

    class Mine:  # one of your own is used, and not saved
        kind, cap = "mine", 3

        def start(self, call):
            return FixedDepth(3).start(call)

    model.depth_policy = Mine()
    assert model(ids).loop_depths.unique().tolist() == [3]
    assert model.config.depth_policy["kind"] == "fixed_point"


@pytest.mark.parametrize("policy", ADAPTIVE.values(), ids=ADAPTIVE)
def test_a_depth_policy_is_saved_with_the_model(policy, tmp_path):
    model, ids = build(halt_gate=True), tokens(2, 6)
    model.depth_policy = policy
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.depth_policy == policy
    assert loaded.config.num_loops == policy.cap
    assert torch.equal(loaded(ids).loop_depths, model(ids).loop_depths)


def test_a_policy_holds_within_its_block_and_leaves_what_is_saved_alone():
    model = build()
    with pytest.raises(RuntimeError), model.at_depth(FixedDepth(7)):
        assert model.depth_policy == FixedDepth(7)
        raise RuntimeError
    assert model.depth_policy == FixedDepth(2)
    assert model.config.num_loops == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "magic"}, "depth policy 'magic' is not known: expected 'kind' to be one of fixed, random"),
        ({"kind": "fixed_point", "tolerance": 0.1}, "has no setting tolerance: it has cap, damping"),
        ({"kind": "fixed_point", "tol": -1.0}, "tol is -1.0"),
        ({"cap": 3}, "depth policy None is not known"),
        (LearnedGate(), "which reads a gate: set halt_gate=True"),
        (RandomDepth(1, 3), "a model cannot be saved with it"),
        (FixedDepth(3), "num_loops is 7, and the cap of FixedDepth.num_loops=3. is 3: give one of the two"),
    ],
)
def test_a_configuration_with_an_impossible_policy_is_refused(settings, message):
    loops = {"num_loops": 7} if settings == FixedDepth(3) else {}
    with pytest.raises(ValueError, match=message):
        LoopedConfig(layer_config=LlamaConfig(**SIZES), depth_policy=settings, **loops)


def test_random_depth_draws_around_its_mean():
    torch.manual_seed(0)
    drawn = {
        sampler: RandomDepth(1, 50, sampler, mean=6).draw(20_000, torch.device("cpu")).float()
        for sampler in ("poisson", "lognormal_poisson")
    }
    for depths in drawn.values():
        assert depths.min() >= 1
        assert depths.mean().item() == pytest.approx(6.0, abs=0.1)
    assert drawn["lognormal_poisson"].var() > 1.5 * drawn["poisson"].var()  # the heavier tail
    for broken in ({"sampler": "gamma"}, {"mean": 9.0}, {"grad_loops": 0}):
        with pytest.raises(ValueError, match="expected"):
            RandomDepth(1, 4, **broken)
