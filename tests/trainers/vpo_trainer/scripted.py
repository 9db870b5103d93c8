"""VPOTrainer on completions that are written for it, so that rewards are known."""

from __future__ import annotations

from trainers import VPOConfig, VPOTrainer


def length_reward(completions, **kwargs):
    return [len(c.split()) / 10 for c in completions]


def hits_reward(completions, target, **kwargs):
    return [float(t in c) for c, t in zip(completions, target, strict=True)]


class Scripted:
    """A rollout function that writes given completions, in order, so that rewards are known."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts, self.calls = tokenizer, texts, 0

    def __call__(self, prompts, trainer):
        texts = [self.texts[(self.calls * len(prompts) + i) % len(self.texts)] for i in range(len(prompts))]
        self.calls += 1
        ids = [[*self.tokenizer(text)["input_ids"], self.tokenizer.eos_token_id] for text in texts]
        return {
            "prompt_ids": [self.tokenizer(p)["input_ids"] for p in prompts],
            "completion_ids": ids,
            "logprobs": [[0.0] * len(row) for row in ids],
        }


TEXTS = [
    "<answer_1> red </answer_1> <answer_2> blue blue blue </answer_2>",
    "<answer_1> red red red red </answer_1> <answer_2> one </answer_2>",
    "red",
    "<answer_1> two two </answer_1> <answer_2> red",
]


def scripted_trainer(
    make_policy, tokenizer, prompts, arguments, texts=TEXTS, reward_funcs=(length_reward, hits_reward), **o
):
    args = VPOConfig(**{**arguments, "max_steps": 1, "per_device_train_batch_size": 4, **o})
    return VPOTrainer(
        model=make_policy(),
        reward_funcs=list(reward_funcs),
        args=args,
        train_dataset=prompts,
        processing_class=tokenizer,
        rollout_func=Scripted(tokenizer, texts),
    )
