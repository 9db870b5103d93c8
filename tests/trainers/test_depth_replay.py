"""Training at the depths that were sampled: log-probabilities agree, and visibly disagree when replay is off."""

from __future__ import annotations

import math

import pytest
import torch
from datasets import Dataset

from eval.rollouts import read_rollouts
from trainers import VPOConfig, VPOTrainer
from trainers.depth_metrics import DriftProbe, depth_metrics
from trainers.depth_recorder import SampledDepths, record_depths
from trainers.depth_reward import thrift
from vpo.looped import ACT, DepthTrace, FixedDepth, FixedPoint, HaltReason, KLExit, LearnedGate, RandomDepth, Replay

POLICIES = [
    FixedPoint(tol=0.3, cap=6, patience=1, damping=0.7),
    FixedPoint(tol=0.4, cap=5, norm="max", scope="prefix"),
    LearnedGate(0.6, cap=5),
    ACT(cap=4),
    KLExit(0.3, cap=5),
    RandomDepth(1, 4),
]
PROMPTS = Dataset.from_dict(
    {"prompt": ["go red", "go", "now green one two blue", "now one"], "target": ["red", "blue", "green", "one"]}
)


def blue(completions, **kwargs):
    return [float(c.count("blue") + 0.5 * c.count("red")) for c in completions]


def trainer_of(policy, depth_policy, tokenizer, arguments, rewards=blue, **options):
    policy.depth_policy = depth_policy
    arguments = {**arguments, "num_answers": 1, "objective": "grpo", **options}
    peft = arguments.pop("peft_config", None)
    return VPOTrainer(
        model=policy,
        reward_funcs=rewards,
        args=VPOConfig(**arguments),
        train_dataset=PROMPTS,
        processing_class=tokenizer,
        peft_config=peft,
    )


def logged(trainer, name):
    return [entry[name] for entry in trainer.state.log_history if name in entry]


@pytest.fixture
def lively_policy(make_policy):
    """Weights so large that loops differ: at the default initialisation every depth looks alike."""

    def make(halt_gate: bool = True):
        policy = make_policy(halt_gate=halt_gate)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        return policy

    return make


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


def test_depth_metrics_are_logged_and_the_rollout_log_holds_every_depth(lively_policy, tokenizer, arguments):
    policy = lively_policy()
    trainer = trainer_of(policy, POLICIES[0], tokenizer, arguments, max_steps=3, learning_rate=0.05)
    trainer.train()
    first = trainer.state.log_history[0]
    assert {"loops/mean_depth", "loops/cap_rate", "loops/residual", "loops/prompt_depth"} <= first.keys()
    assert len(logged(trainer, "loops/depth_drift")) == 2  # not before the first update
    assert all(0 < share <= 1 for share in logged(trainer, "loops/depth_drift"))
    for step, rows in read_rollouts(trainer.rollout_folder):
        assert all(len(row["depths"]) == len(row["residuals"]) == row["completion_tokens"] for row in rows)
        depths = [depth for row in rows for depth in row["depths"]]
        assert math.isclose(sum(depths) / len(depths), logged(trainer, "loops/mean_depth")[step], rel_tol=1e-5)
        assert set(depths) <= set(range(1, 7))
        assert len(set(depths)) > 1


def test_recorded_depths_are_those_of_the_generated_tokens(lively_policy, tokenizer):
    policy = lively_policy().eval()
    policy.depth_policy = POLICIES[0]
    ids = torch.tensor([[0, 0, 5, 7], [4, 5, 6, 8]])
    mask = (ids != 0).long()
    torch.manual_seed(1)
    with record_depths(policy, temperature=0.7) as recorder:
        whole = policy.generate(
            ids, attention_mask=mask, do_sample=True, temperature=0.7, max_new_tokens=9, min_length=13
        )
    sampled = recorder.result([[5, 7], [4, 5, 6, 8]], whole[:, 4:].tolist(), 4)
    live = policy(whole[:, :-1], attention_mask=torch.cat([mask, torch.ones(2, 8, dtype=torch.long)], 1))
    assert torch.equal(sampled.trace.depth[:, :-1], live.loop_depths)
    expected = (live.logits[:, 3:] / 0.7).log_softmax(-1).gather(-1, whole[:, 4:, None]).squeeze(-1)
    assert torch.allclose(sampled.logps, expected, atol=1e-5)


def test_thrift_is_one_more_component_of_the_reward(lively_policy, tokenizer, arguments):
    options = {"objective": "vpo", "num_answers": 2, "max_steps": 1, "ask_for_answers": False}
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, [blue, thrift], **options)
    seen = {}
    inner = trainer.vector_reward.adapters[1].func
    trainer.vector_reward.adapters[1].func = lambda **kwargs: seen.update(kwargs) or inner(**kwargs)
    scripted = "<answer_1> blue </answer_1> <answer_2> red </answer_2>"
    trainer.processing_class.batch_decode = lambda ids, **kwargs: [scripted] * len(ids)
    trainer.train()
    assert trainer.vector_reward.components == ("blue", "thrift")
    assert len(seen["loop_depth"]) == len(seen["completions"]) == 16  # one an answer
    (_, rows), *_ = read_rollouts(trainer.rollout_folder)
    means = [sum(row["depths"]) / len(row["depths"]) for row in rows for _ in range(2)]
    assert seen["loop_depth"] == pytest.approx(means)  # each completion's own
    assert len(set(means)) > 1
    assert set(seen["loop_cap"]) == {6}
    assert thrift(["a", "b", "c"], loop_depth=[1.0, 6.0, 3.5], loop_cap=[6, 6, 6]) == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("power", [0.0, 1.5])
def test_the_sum_over_loops_is_the_weighted_mean_of_the_loops_log_probabilities(
    power, lively_policy, tokenizer, arguments
):
    policy = lively_policy(halt_gate=False)
    options = {"depth_training": "sum", "depth_sum_power": power, "temperature": 0.8, "max_steps": 1}
    trainer = trainer_of(policy, POLICIES[0], tokenizer, arguments, **options)
    ids, mask = torch.tensor([[0, 5, 7, 6, 8], [4, 5, 6, 8, 9]]), torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    depths = torch.tensor([[1, 2, 3, 1, 1], [3, 1, 2, 2, 1]])
    nothing = torch.zeros_like(depths)
    trace = DepthTrace(depths, nothing, nothing, nothing, POLICIES[0])
    trainer._replayed = SampledDepths(trace, torch.zeros(2, 3), POLICIES[0])
    policy.eval()
    logps, entropies, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, 3)
    with torch.no_grad():
        out = policy(ids, attention_mask=mask, depth_policy=Replay(depths), use_cache=False, output_loop_states=True)
        loops = [(policy.lm_head(h) / 0.8).log_softmax(-1) for h in out.loop_hidden_states]
        sampled = (out.logits / 0.8).log_softmax(-1)  # after a token's last loop, what it was sampled from
    for row in range(2):
        for place in range(3):
            spent = int(depths[row, place + 1])
            readings = [*(loops[t][row, place + 1] for t in range(spent - 1)), sampled[row, place + 1]]
            chosen = [reading[ids[row, place + 2]] for reading in readings]
            weights = torch.tensor([(t + 1.0) ** power for t in range(spent)])
            expected = (weights * torch.stack(chosen)).sum() / weights.sum()
            assert logps[row, place].item() == pytest.approx(expected.item(), abs=1e-5)
            last = readings[-1]
            assert entropies[row, place].item() == pytest.approx(-(last.exp() * last).sum().item(), abs=1e-5)
    trainer._replayed = None
    trainer.train()  # and it trains


def test_a_fixed_depth_needs_no_record_and_gets_the_same_metrics(make_policy, tokenizer, arguments):
    trainer = trainer_of(make_policy(), FixedDepth(3), tokenizer, arguments)
    trainer.train()
    assert logged(trainer, "loops/mean_depth") == [3.0, 3.0]
    assert max(logged(trainer, "sampling/replay_logp_diff/max")) < 1e-4


def test_a_rollout_function_cannot_tell_its_depths(lively_policy, tokenizer, arguments, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    policy = lively_policy()
    policy.depth_policy = POLICIES[0]
    with pytest.raises(ValueError, match=r"rollout_func with FixedPoint.*set a FixedDepth"):
        VPOTrainer(
            model=policy,
            reward_funcs=blue,
            args=VPOConfig(**arguments, num_answers=1, objective="grpo"),
            train_dataset=PROMPTS,
            processing_class=tokenizer,
            rollout_func=lambda prompts, trainer: {},
        )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"depth_training": "random"}, "expected 'replay', 'fixed', 'live' or 'sum'"),
        ({"depth_drift_rows": -1}, "or more"),
    ],
)
def test_settings_of_the_depth_are_checked(option, message, arguments):
    with pytest.raises(ValueError, match=message):
        VPOConfig(**arguments, **option)


def test_metrics_by_hand():
    """Two prompts of 2 and 3 tokens, completions of 2 and 3; a completion token's depth is that of the token before."""
    depth = torch.tensor([[1, 2, 3, 4, 5, 1], [3, 1, 2, 2, 2, 1]])
    reason = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 0]])
    residual = torch.tensor([[0.0, 0.1, 0.2, 0.3, 9.0, 9.0], [0.0, 0.1, 0.2, 0.3, 0.4, 9.0]])
    trace = DepthTrace(depth, residual, reason, torch.zeros_like(depth), POLICIES[0])
    sampled = SampledDepths(trace, torch.zeros(2, 3), POLICIES[0])
    drawn, prompt = torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    found = depth_metrics(sampled, drawn, prompt).reduce(lambda tensor: tensor)
    assert found["loops/mean_depth"] == pytest.approx((3 + 4 + 2 + 2 + 2) / 5)
    assert found["loops/cap_rate"] == pytest.approx((0 + 1 + 0 + 1 + 0) / 5)  # reason 0 is the cap
    assert HaltReason.CAP == 0
    assert found["loops/residual"] == pytest.approx((0.2 + 0.3 + 0.2 + 0.3 + 0.4) / 5)
    assert found["loops/prompt_depth"] == pytest.approx((2 + 3 + 3 + 1 + 2) / 5)


def test_drift_counts_the_tokens_that_were_fed_in(lively_policy):
    policy = lively_policy()
    ids, mask = torch.tensor([[0, 5, 7, 6, 8, 2, 0], [4, 5, 6, 8, 9, 3, 2]]), torch.ones(2, 7, dtype=torch.long)
    mask[0, 0] = mask[0, 6] = 0
    live = policy(ids, attention_mask=mask, depth_policy=POLICIES[0], use_cache=False).loop_depths
    batch = {
        "prompt_ids": ids[:, :3],
        "completion_ids": ids[:, 3:],
        "prompt_mask": mask[:, :3],
        "completion_mask": mask[:, 3:],
        "loop_depths": live.clone(),
    }
    assert DriftProbe.of(batch, POLICIES[0], 2).measure(policy) == (0.0, 4.0 + 6.0)
    batch["loop_depths"][0, 1] += 1  # a prompt token
    batch["loop_depths"][1, 4] += 1  # a completion token
    batch["loop_depths"][0, 5] += 1  # the last token of the first completion, which was never fed in
    batch["loop_depths"][0, 0] += 1  # padding
    assert DriftProbe.of(batch, POLICIES[0], 2).measure(policy) == (2.0, 10.0)
    assert DriftProbe.of(batch, POLICIES[0], 1).measure(policy) == (1.0, 4.0)


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


def test_a_generation_whose_depths_cannot_be_told_is_refused(lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, generation_kwargs={"guidance_scale": 1.5})
    with pytest.raises(RuntimeError, match=r"their depths cannot be told. Sample with plain `generate`"):
        trainer.train()
    assert trainer._sampled is None
    policy = lively_policy().eval()
    with record_depths(policy) as recorder:
        policy(torch.tensor([[4, 5, 6]]), depth_policy=POLICIES[0])
    recorder.result([[4, 5]], [[6, 7]], 2)
    for prompt, completion in (([4, 6], [6, 7]), ([4, 5], [7, 7]), ([4, 5], [6, 7, 8])):
        with pytest.raises(RuntimeError, match="cannot be told"):
            recorder.result([prompt], [completion], len(prompt))


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


def test_a_second_turn_in_one_batch_is_refused(lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments)
    inner = type(trainer)._generate_single_turn

    def two_turns(*args):
        inner(trainer, *args)
        return inner(trainer, *args)

    trainer._generate_single_turn = two_turns
    with pytest.raises(RuntimeError, match="a second turn was generated"):
        trainer.train()


def test_a_gap_that_replay_should_not_leave_is_pointed_out(lively_policy, tokenizer, arguments, caplog):
    policy = lively_policy()
    trainer = trainer_of(policy, POLICIES[0], tokenizer, arguments)
    with caplog.at_level("WARNING", logger="trainers.depth_replay"):
        trainer.train()
    assert not caplog.records
    policy.model.layers[1].self_attn.attention_dropout = 0.5  # in training passes alone
    trainer = trainer_of(policy, POLICIES[0], tokenizer, arguments)
    with caplog.at_level("WARNING", logger="trainers.depth_replay"):
        trainer.train()
    assert len([r for r in caplog.records if "not the one that was sampled from" in r.message]) == 1


def test_half_precision_is_no_false_alarm(lively_policy, tokenizer, arguments, caplog):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, bf16=True)
    with caplog.at_level("WARNING", logger="trainers.depth_replay"):
        trainer.train()
    assert max(logged(trainer, "sampling/replay_logp_diff/max")) < 0.1
    assert not caplog.records


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_vllm": True}, "use_vllm=True with a looped policy.*silently wrong.*use_vllm=False"),
        ({"use_vllm": True, "vllm_mode": "server"}, "use_vllm=True with a looped policy"),
        ({"use_transformers_continuous_batching": True}, "continuous_batching=True with a looped policy"),
        ({"depth_training": "live"}, "depth_training='live' with KLExit"),
    ],
)
def test_what_a_looped_policy_cannot_do_is_refused_before_anything_is_built(
    options, message, lively_policy, tokenizer, arguments, tmp_path
):
    policy = lively_policy()
    with pytest.raises(ValueError, match=message):
        trainer_of(policy, KLExit(0.3, cap=5), tokenizer, arguments, **options)
    if "depth_training" not in options:
        policy.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=message):
            VPOTrainer(str(tmp_path), blue, VPOConfig(**{**arguments, **options}), PROMPTS, processing_class=tokenizer)
