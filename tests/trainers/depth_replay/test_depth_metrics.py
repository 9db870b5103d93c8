from __future__ import annotations

import math

import pytest
import torch

from eval.rollouts import read_rollouts
from tests.trainers.depth_replay.lively import POLICIES, blue, logged, trainer_of
from trainers.depth_metrics import DriftProbe, depth_metrics
from trainers.depth_recorder import SampledDepths, record_depths
from trainers.depth_reward import thrift
from vpo.looped import DepthTrace, FixedDepth, HaltReason, Replay


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
