"""TRL's own reward functions, and those of its documentation, unchanged, on each of TRL's prompt formats.

The oracle calls a function by itself on the answers that each completion holds.
"""

from __future__ import annotations

import asyncio
import math
import re

import pytest
from trl.rewards import (
    accuracy_reward,
    get_cosine_scaled_reward,
    get_repetition_penalty_reward,
    get_soft_overlong_punishment,
    think_format_reward,
)

from trainers import VPOConfig, VPOTrainer
from vpo.answers import AnswerFormat

CHAT = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
TEXTS = [
    "<answer_1> one </answer_1> <answer_2> two red </answer_2>",
    "now <answer_1> two two two two two </answer_1>",
    "red red",
    "<answer_1> red </answer_1> <answer_2> one </answer_2>",
]


@pytest.fixture(autouse=True)
def _silence_experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


# --- as TRL's documentation and test suite write them ---


def reward_len(completions, **kwargs):
    return [float(len(completion)) for completion in completions]


def reward_ids(completion_ids, **kwargs):
    return [float(len(ids)) for ids in completion_ids]


def format_reward(completions, **kwargs):
    pattern = r"^(red|one)"
    contents = [completion[0]["content"] for completion in completions]
    return [1.0 if re.match(pattern, content) else 0.0 for content in contents]


def reward_with_column(completions, target, **kwargs):
    return [1.0 if t in c else 0.0 for c, t in zip(completions, target, strict=True)]


def applicable_reward(completions, target, **kwargs):
    return [float(len(c)) if t == "red" else None for c, t in zip(completions, target, strict=True)]


def non_applicable_reward(completions, **kwargs):
    return [None] * len(completions)


async def async_reward(completions, **kwargs):
    await asyncio.sleep(0)
    return [float(len(str(c))) for c in completions]


def logging_reward(completions, log_extra=None, log_metric=None, **kwargs):
    scores = [float(len(str(c))) for c in completions]
    if log_extra:
        log_extra("length", scores)
    if log_metric:
        log_metric("mean_length", sum(scores) / len(scores))
    return scores


def scheduled_reward(completions, trainer_state, **kwargs):
    return [float(trainer_state.global_step) for _ in completions]


class CallableReward:
    def __call__(self, completions, **kwargs):
        return [float(len(str(c))) for c in completions]


STANDARD = {
    "reward_len": reward_len,
    "reward_ids": reward_ids,
    "reward_with_column": reward_with_column,
    "applicable_reward": applicable_reward,
    "non_applicable_reward": non_applicable_reward,
    "async_reward": async_reward,
    "logging_reward": logging_reward,
    "scheduled_reward": scheduled_reward,
    "callable": CallableReward(),
    "get_soft_overlong_punishment": get_soft_overlong_punishment(max_completion_len=10, soft_punish_cache=6),
    "get_repetition_penalty_reward": get_repetition_penalty_reward(ngram_size=1),
}
CONVERSATIONAL = {
    "format_reward": format_reward,
    "accuracy_reward": accuracy_reward,
    "think_format_reward": think_format_reward,
    "get_cosine_scaled_reward": get_cosine_scaled_reward(max_len=12),
    "async_reward": async_reward,
    "logging_reward": logging_reward,
    "reward_ids": reward_ids,
    "non_applicable_reward": non_applicable_reward,
}


def train(reward, conversational, make_policy, tokenizer, prompts, arguments):
    tokenizer.chat_template = CHAT
    prompts = prompts.add_column("solution", ["$\\boxed{1}$", "not mathematics", "$\\boxed{1}$", "not mathematics"])
    if conversational:
        prompts = prompts.map(lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]})

    def scripted(asked, trainer):
        ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in TEXTS]
        plain = [prompt if isinstance(prompt, str) else prompt[0]["content"] for prompt in asked]
        prompt_ids = [tokenizer(prompt)["input_ids"] for prompt in plain]
        return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": [[0.0] * len(row) for row in ids]}

    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=[reward, reward_ids],
        args=VPOConfig(
            **{**arguments, "max_steps": 1, "per_device_train_batch_size": 4}, num_answers=2, ask_for_answers=False
        ),
        train_dataset=prompts,
        processing_class=tokenizer,
        rollout_func=scripted,
    )
    seen = {}
    inner = trainer._calculate_rewards

    def spy(inputs, asked, completions, completion_ids):
        seen.update(inputs=inputs, prompts=asked, completions=completions, ids=completion_ids)
        return inner(inputs, asked, completions, completion_ids)

    trainer._calculate_rewards = spy
    trainer.train()
    return trainer, seen


def expected(reward, trainer, seen):
    """What the function says when it is called on the answers alone."""
    fmt, rows = AnswerFormat(2), []
    for inputs, prompt, completion, ids in zip(
        seen["inputs"], seen["prompts"], seen["completions"], seen["ids"], strict=True
    ):
        is_text = isinstance(completion, str)
        text = completion if is_text else completion[0]["content"]
        for answer in fmt.parse(text).answers:
            alone = answer if is_text else [{"role": "assistant", "content": answer}]
            columns = {key: [value] for key, value in inputs.items() if key != "prompt"}
            called = reward(
                prompts=[prompt], completions=[alone], completion_ids=[ids], trainer_state=trainer.state, **columns
            )
            (value,) = asyncio.run(called) if asyncio.iscoroutine(called) else called
            rows.append(value)
    return rows


@pytest.mark.parametrize(
    ("name", "conversational"), [*((n, False) for n in STANDARD), *((n, True) for n in CONVERSATIONAL)]
)
def test_a_reward_function_of_trl_works_unchanged(name, conversational, make_policy, tokenizer, prompts, arguments):
    reward = (CONVERSATIONAL if conversational else STANDARD)[name]
    trainer, seen = train(reward, conversational, make_policy, tokenizer, prompts, arguments)
    values = [v for row in trainer.vector_reward.adapters[0].last.values for (v,) in row]
    assert len(values) == 5
    if name == "scheduled_reward":
        assert values == [0.0] * 5  # the step at which they were sampled
        return
    wanted = expected(reward, trainer, seen)
    assert [None if math.isnan(v) else v for v in values] == [pytest.approx(v) if v is not None else v for v in wanted]
    assert math.isfinite(trainer.state.log_history[0]["loss"])
