"""Reward models as rewards: what TRL's own code makes of them, on single answers."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForSequenceClassification
from trl import GRPOConfig, GRPOTrainer

from trainers import VPOConfig, VPOTrainer
from trainers.reward_models import RewardModel
from vpo.answers import AnswerFormat

CHAT = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"


@pytest.fixture(autouse=True)
def _silence_experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture
def save_judge(tokenizer, tmp_path):
    def save(num_labels=1, **options):
        torch.manual_seed(5)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, pad_token_id=0, num_labels=num_labels, initializer_range=0.3, **options,
        )  # fmt: skip
        folder = tmp_path / f"judge-{num_labels}"
        LlamaForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


def length_reward(completions, **kwargs):
    return [len(str(c).split()) / 10 for c in completions]


def scripted(tokenizer, texts):
    def write(prompts, trainer):
        ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts[: len(prompts)]]
        prompt_ids = [tokenizer(p if isinstance(p, str) else p[0]["content"])["input_ids"] for p in prompts]
        return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": [[0.0] * len(row) for row in ids]}

    return write


SINGLE = ["red blue", "one", "green green two now", "two"]


@pytest.mark.parametrize("conversational", [False, True])
def test_with_one_answer_a_reward_model_given_by_its_folder_scores_as_in_grpo(
    conversational, make_policy, tokenizer, prompts, arguments, save_judge
):
    tokenizer.chat_template = CHAT
    judge = str(save_judge())
    if conversational:
        prompts = prompts.map(lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]})
    found = []
    for trainer_class, config_class, options in [
        (GRPOTrainer, GRPOConfig, {}),
        (VPOTrainer, VPOConfig, {"objective": "grpo", "num_answers": 1}),
    ]:
        trainer = trainer_class(
            model=make_policy(),
            reward_funcs=[judge, length_reward],
            args=config_class(**{**arguments, "max_steps": 1, "per_device_train_batch_size": 4}, **options),
            train_dataset=prompts,
            processing_class=tokenizer,
            rollout_func=scripted(tokenizer, SINGLE),
        )
        trainer.train()
        log = trainer.state.log_history[0]
        found.append({key: log[key] for key in log if key.startswith("reward")})
    assert "rewards/judge-1/mean" in found[0]
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        assert found[1][key] == pytest.approx(value, abs=1e-6), key


def test_an_answer_of_a_set_is_judged_alone_and_after_the_prompt_as_the_user_wrote_it(
    make_policy, tokenizer, prompts, arguments, save_judge
):
    judge = LlamaForSequenceClassification.from_pretrained(save_judge())
    texts = ["<answer_1> red blue </answer_1> <answer_2> one </answer_2>", "<answer_1> two </answer_1>", "red", "green"]
    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=[judge],
        reward_processing_classes=tokenizer,
        args=VPOConfig(**{**arguments, "max_steps": 1, "per_device_train_batch_size": 4}, num_answers=2),
        train_dataset=Dataset.from_dict({"prompt": ["go red"] * 4}),
        processing_class=tokenizer,
        rollout_func=scripted(tokenizer, texts),
    )
    trainer.train()
    (adapter,) = trainer.vector_reward.adapters
    values = adapter.last.values
    for answer, value in [("red blue", values[0][0]), ("one", values[0][1]), ("two", values[1][0])]:
        inputs = tokenizer("go red" + answer, return_tensors="pt", add_special_tokens=False)
        assert value == pytest.approx(judge(**inputs).logits[0].tolist(), abs=1e-5)
    assert values[2] == values[3] == []
    assert trainer.vector_reward.components == (adapter.__name__,)


def test_a_reward_model_with_several_labels_is_a_vector_reward(tokenizer, save_judge):
    labels = {0: "helpful", 1: "honest", 2: "brief"}
    judge = LlamaForSequenceClassification.from_pretrained(save_judge(3, id2label=labels))
    reward = RewardModel(judge, None, AnswerFormat(2), batch_size=2)  # the tokenizer saved beside the model
    assert reward.components == ("helpful", "honest", "brief")
    answers = ["red", "blue two", "one"]
    scores = reward(prompts=["go "] * 3, completions=answers)
    for answer, score in zip(answers, scores, strict=True):  # padding and the batch change nothing
        inputs = tokenizer("go " + answer, return_tensors="pt", add_special_tokens=False)
        assert score == pytest.approx(judge(**inputs).logits[0].tolist(), abs=1e-5)


def test_a_prompt_is_unasked_in_each_of_its_forms():
    fmt = AnswerFormat(3)
    parts = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    for prompt in (
        "What is it?",
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is it?"}],
        [{"role": "user", "content": parts}, {"role": "assistant", "content": "I think"}],
    ):
        assert fmt.unask(fmt.ask(prompt)) == prompt
        assert fmt.unask(prompt) == prompt


def test_one_processing_class_a_reward_is_asked_for(make_policy, tokenizer, prompts, arguments):
    with pytest.raises(ValueError, match="reward_processing_classes holds 1 entries for 2 rewards"):
        VPOTrainer(
            model=make_policy(),
            reward_funcs=[length_reward, length_reward],
            reward_processing_classes=[tokenizer],
            args=VPOConfig(**arguments),
            train_dataset=prompts,
            processing_class=tokenizer,
        )
