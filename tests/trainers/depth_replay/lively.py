"""Trainers of a looped policy that decides its depth."""

from __future__ import annotations

from datasets import Dataset

from trainers import VPOConfig, VPOTrainer
from vpo.looped import ACT, FixedPoint, KLExit, LearnedGate, RandomDepth

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
