"""Evaluation between steps of training."""

from __future__ import annotations

from tests.trainers.vpo_trainer.scripted import length_reward
from trainers import VPOConfig, VPOTrainer


def test_evaluation_uses_its_own_group_size(make_policy, tokenizer, prompts, arguments):
    args = VPOConfig(**arguments, num_generations_eval=1, per_device_eval_batch_size=4)
    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=length_reward,
        args=args,
        train_dataset=prompts,
        eval_dataset=prompts,
        processing_class=tokenizer,
    )
    metrics = trainer.evaluate()
    assert 0 <= metrics["eval_set/reward"] <= 1.2


def test_evaluation_does_not_move_the_weightings_of_training(make_policy, tokenizer, prompts, arguments):
    seen = {}
    for eval_batch in (None, 2, 4):
        options = {} if eval_batch is None else {"eval_strategy": "steps", "eval_steps": 1}
        args = VPOConfig(
            **{**arguments, "max_steps": 3},
            num_generations_eval=2,
            per_device_eval_batch_size=eval_batch or 4,
            **options,
        )
        trainer = VPOTrainer(
            model=make_policy(),
            reward_funcs=length_reward,
            args=args,
            train_dataset=prompts,
            eval_dataset=prompts,
            processing_class=tokenizer,
        )
        indices = []
        inner = trainer._next_generation_index
        trainer._next_generation_index = lambda mode, i=inner, to=indices: to.append((mode, i(mode))) or to[-1][1]
        trainer.train()
        seen[eval_batch] = [index for mode, index in indices if mode == "train"]
        evaluated = [index for mode, index in indices if mode == "eval"]
        assert all(index >= 1 << 15 for index in evaluated)
        assert (len(evaluated) > 0) == (eval_batch is not None)
    assert seen[None] == seen[2] == seen[4] == [0, 0, 0]
