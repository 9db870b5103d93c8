from __future__ import annotations

import pytest

from tests.trainers.depth_replay.lively import POLICIES, logged, trainer_of
from vpo.looped import FixedDepth, RandomDepth, Replay


@pytest.mark.parametrize("depth_policy", POLICIES, ids=lambda p: f"{type(p).__name__}-{getattr(p, 'scope', '')}")
def test_replayed_log_probabilities_are_those_of_sampling(depth_policy, lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), depth_policy, tokenizer, arguments)
    trainer.train()
    largest = logged(trainer, "sampling/replay_logp_diff/max")
    assert len(largest) == 2
    assert max(largest) < 1e-4
    if not isinstance(depth_policy, RandomDepth):
        assert (
            1 < logged(trainer, "loops/mean_depth")[0] < depth_policy.cap
        )  # depths differ, or there is nothing to show


@pytest.mark.parametrize("depth_policy", POLICIES[:5], ids=lambda p: type(p).__name__)
def test_without_replay_the_difference_shows(depth_policy, lively_policy, tokenizer, arguments):
    """The test above can fail: training at the cap, as every stack does that forces a fixed depth."""
    trainer = trainer_of(lively_policy(), depth_policy, tokenizer, arguments, depth_training="fixed", max_steps=1)
    trainer.train()
    assert logged(trainer, "sampling/replay_logp_diff/max")[0] > 1e-2


def test_deciding_depths_anew_agrees_until_the_weights_change(lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, depth_training="live", max_steps=1)
    trainer.train()
    assert logged(trainer, "sampling/replay_logp_diff/max")[0] < 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {"steps_per_generation": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        {"num_iterations": 2, "max_steps": 4},
        {"gradient_checkpointing": True},
        {"pad_to_multiple_of": 8},
    ],
    ids=lambda options: next(iter(options)),
)
def test_depths_ride_through_the_buffers_with_their_rows(options, lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, **options)
    trainer.train()
    assert max(logged(trainer, "sampling/replay_logp_diff/max")) < 1e-4


def test_old_reference_and_current_log_probabilities_are_asked_at_the_same_depths(
    lively_policy, tokenizer, arguments, tmp_path
):
    lively_policy().save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    from transformers import AutoModelForCausalLM

    options = {"beta": 0.1, "num_iterations": 2, "max_steps": 2, "learning_rate": 0.0}
    start = AutoModelForCausalLM.from_pretrained(tmp_path / "start")
    trainer = trainer_of(start, POLICIES[0], tokenizer, arguments, **options)
    asked = []
    for name, model in (("own", trainer.model), ("reference", trainer.ref_model)):
        inner = model.model.forward

        def forward(*args, inner=inner, model=model, name=name, **kwargs):
            policy = model.model.depth_policy
            if isinstance(policy, Replay):
                asked.append((name, policy.depths))
            return inner(*args, **kwargs)

        model.model.forward = forward
    trainer.train()
    assert [name for name, _ in asked] == ["own", "reference", "own", "own"]  # old, reference, two optimizer steps
    rows = sorted(map(tuple, asked[0][1].tolist()))
    assert all(sorted(map(tuple, depths.tolist())) == rows for _, depths in asked)
    assert max(logged(trainer, "kl")) < 1e-9  # the reference is the start, and nothing was learned


def test_adapters_are_trained_at_the_sampled_depths(lively_policy, tokenizer, arguments):
    from peft import LoraConfig

    adapter = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, peft_config=adapter)
    trainer.train()
    assert max(logged(trainer, "sampling/replay_logp_diff/max")) < 1e-4


@pytest.mark.parametrize(
    "source", ["generation_kwargs", "generation configuration", "number of loops", "another step size"]
)
def test_the_policy_that_sampled_is_replayed_whoever_chose_it(source, lively_policy, tokenizer, arguments):
    """The generation configuration may name another policy than the model's own."""
    policy, own, options = lively_policy(), FixedDepth(2), {}
    chosen = {"kind": "fixed_point", "tol": 0.3, "cap": 5, "patience": 1}
    if source == "generation_kwargs":
        options["generation_kwargs"] = {"depth_policy": chosen}
    elif source == "number of loops":
        options["generation_kwargs"] = {"num_loops": 5}
    elif source == "generation configuration":
        policy.generation_config.depth_policy = chosen
    else:
        own = POLICIES[0]
        policy.generation_config.depth_policy = {**chosen, "step_size": 0.5}
    trainer = trainer_of(policy, own, tokenizer, arguments, **options)
    trainer.train()
    assert max(logged(trainer, "sampling/replay_logp_diff/max")) < 1e-4
    mean = logged(trainer, "loops/mean_depth")[0]
    assert mean == 5 if source == "number of loops" else 1 < mean < 5


@pytest.mark.parametrize("options", [{"use_cache": False}, {"prefill_chunk_size": 2}], ids=lambda o: next(iter(o)))
def test_other_ways_to_generate_the_same_are_recorded_too(options, lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, generation_kwargs=options)
    trainer.train()
    assert max(logged(trainer, "sampling/replay_logp_diff/max")) < 1e-4


def test_sampling_beside_training_changes_nothing(lively_policy, tokenizer, arguments):
    """A callback that looks at samples between two steps on the same rollouts."""
    from transformers import TrainerCallback

    norms = {}
    for looks in (False, True):
        options = {"num_iterations": 3, "max_steps": 3, "learning_rate": 0.0}
        trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, **options)

        class Look(TrainerCallback):
            def on_step_end(self, *args, trainer=trainer, **kwargs):
                trainer._generate_single_turn([[4, 5, 6]] * 8, None, {}, 4)

        if looks:
            trainer.add_callback(Look())
        trainer.train()
        norms[looks] = logged(trainer, "grad_norm")
    assert norms[True] == pytest.approx(norms[False], rel=1e-5)
