"""What is paid and what follows from it: GRPO to the last bit, the set reward by hand, weightings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trl import GRPOConfig, GRPOTrainer

from tests.trainers.vpo_trainer.scripted import hits_reward, length_reward, scripted_trainer
from trainers import VPOConfig, VPOTrainer
from trainers.scored_batch import ScoredBatch
from vpo.weightings import Dirichlet, prompt_key, weighting_seed


def test_one_answer_under_fixed_weights_is_grpo_to_the_last_bit(make_policy, tokenizer, prompts, arguments):
    weights = [0.7, 1.5]
    results = []
    for trainer_class, config_class, options in [
        (GRPOTrainer, GRPOConfig, {}),
        (VPOTrainer, VPOConfig, {"objective": "grpo", "num_answers": 1}),
    ]:
        args = config_class(**{**arguments, "max_steps": 3}, reward_weights=weights, **options)
        trainer = trainer_class(
            model=make_policy(),
            reward_funcs=[length_reward, hits_reward],
            args=args,
            train_dataset=prompts,
            processing_class=tokenizer,
        )
        trainer.train()
        results.append((trainer, torch.cat([p.detach().flatten() for p in trainer.model.parameters()])))
    (grpo, grpo_weights), (vpo, vpo_weights) = results
    assert list(grpo._logs["advantages"]) == list(vpo._logs["advantages"])
    assert any(a != 0 for a in vpo._logs["advantages"])
    assert torch.equal(grpo_weights, vpo_weights)
    assert [h.get("reward") for h in grpo.state.log_history] == [h.get("reward") for h in vpo.state.log_history]


def test_advantages_are_those_of_the_set_reward_by_hand(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(
        make_policy, tokenizer, prompts, arguments, ask_for_answers=False, num_answers=2, num_weightings=50
    )
    seen = []
    inner = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: seen.append((inputs, inner(inputs))) or seen[-1][1]
    trainer.train()
    inputs, output = seen[0]
    target = inputs[0]["target"]
    weights = Dirichlet(1.0).draw(50, 2, weighting_seed(3, 0, prompt_key(inputs[0]["prompt"]))).numpy().astype(float)
    sets = [["red", "blue blue blue"], ["red red red red", "one"], [], ["two two"]]
    scores = []
    for answers in sets:
        vectors = [(len(a.split()) / 10, float(target in a)) for a in answers]
        scores.append(np.mean([max(w @ np.array(v) for v in vectors) for w in weights]) if vectors else 0.0)
    expected = (np.array(scores) - np.mean(scores)) / (np.std(scores, ddof=1) + 1e-4)
    assert output["advantages"].numpy() == pytest.approx(expected, abs=1e-5)
    logged = trainer.state.log_history[0]
    assert logged["reward"] == logged["set/reward"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert logged["set/answers"] == 5 / 4
    assert logged["set/parse_failure_rate"] == 0.25
    assert list(trainer._logs["advantages"])[-4:] == pytest.approx(list(expected), abs=1e-5)


def test_reward_functions_see_answers_with_the_columns_of_their_row(make_policy, tokenizer, prompts, arguments):
    calls = []

    def spy(prompts, completions, completion_ids, target, **kwargs):
        calls.append((prompts, completions, target, sorted(kwargs)))
        return [[1.0, 0.0] for _ in completions]

    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments, reward_funcs=[spy], num_answers=2)
    trainer.train()
    prompt_texts, answers, targets, others = calls[0]
    assert answers == ["red", "blue blue blue", "red red red red", "one", "two two"]
    assert len(set(targets)) == 1 and len(targets) == 5
    assert others == ["log_extra", "log_metric", "trainer_state"]
    assert all("<answer_1>" in text for text in prompt_texts)  # the prompt asks for the answers
    assert trainer.vector_reward.components == ("spy[0]", "spy[1]")


def test_negative_rewards_are_pointed_out_once(make_policy, tokenizer, prompts, arguments, caplog):
    def cost(completions, **kwargs):
        return [-float(len(c)) for c in completions]

    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments, reward_funcs=[cost], max_steps=2)
    with caplog.at_level("WARNING", logger="trainers.vpo_trainer"):
        trainer.train()
    said = [record.message for record in caplog.records if "negative reward" in record.message]
    assert len(said) == 1
    assert "an answer set without an answer scores 0" in said[0]


def test_weightings_depend_on_seed_step_and_prompt_alone(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments)
    generator = torch.Generator().manual_seed(0)
    rewards, mask = torch.rand(8, 3, 2, generator=generator), torch.ones(8, 3, dtype=torch.bool)
    keys = torch.tensor([5] * 4 + [9] * 4)

    def scores(rewards, keys, index=0):
        batch = ScoredBatch(rewards, mask, keys, None, [], [], [], [], None)
        return trainer.pay(batch, group_size=4, index=index).scores

    first = scores(rewards, keys)
    torch.manual_seed(123)  # the global generator plays no part
    assert torch.equal(first, scores(rewards, keys))
    swapped = scores(rewards.roll(4, 0), keys.roll(4, 0))
    assert torch.equal(swapped.roll(4, 0), first)  # nor does the place in the batch
    assert not torch.equal(first, scores(rewards, keys, index=1))
    trainer.state.global_step = 1
    assert not torch.equal(first, scores(rewards, keys))


def test_w_star_comes_from_the_weights_of_functions_or_of_components(make_policy, tokenizer, prompts, arguments):
    def pair(completions, **kwargs):
        return [(1.0, 2.0) for _ in completions]

    trainer = scripted_trainer(
        make_policy, tokenizer, prompts, arguments, reward_funcs=[pair, length_reward], reward_weights=[1.0, 3.0]
    )
    trainer.train()
    assert trainer.w_star(3).tolist() == [0.5, 0.5, 3.0]
    trainer.args.component_weights = [0.2, 0.3, 0.5]
    assert trainer.w_star(3).tolist() == pytest.approx([0.2, 0.3, 0.5])
    trainer.args.component_weights = [1.0]
    with pytest.raises(ValueError, match="component_weights has 1 entries, the reward vectors have 3"):
        trainer.w_star(3)
