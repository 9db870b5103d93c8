"""What is sampled, where it ends, and what is written down of it."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import torch

from tests.trainers.vpo_trainer.scripted import length_reward, scripted_trainer
from trainers import VPOConfig, VPOTrainer


def test_prompts_that_ask_themselves_are_left_alone(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(make_policy, tokenizer, prompts, arguments, ask_for_answers=False)
    assert trainer.train_dataset["prompt"] == prompts["prompt"]


def test_every_rollout_is_in_the_log(make_policy, tokenizer, prompts, arguments):
    trainer = scripted_trainer(make_policy, tokenizer, prompts, {**arguments}, num_answers=2, max_steps=2)
    trainer.train()
    files = sorted((trainer.rollout_folder).glob("*.parquet"))
    assert [f.name for f in files] == ["rank0000-step00000000.parquet", "rank0000-step00000001.parquet"]
    rows = pq.read_table(files[0]).to_pylist()
    assert [row["answers"] for row in rows] == [["red", "blue blue blue"], ["red red red red", "one"], [], ["two two"]]
    assert [len(row["rewards"]) for row in rows] == [2, 2, 0, 1]
    assert rows[0]["rewards"][1][0] == pytest.approx(0.3)
    assert rows[0]["components"] == ["length_reward", "hits_reward"]
    assert rows[3]["num_unclosed"] == 1
    assert {row["finish_reason"] for row in rows} == {"stop"}
    assert json.loads(rows[0]["metadata"])["target"] in prompts["target"]
    assert sum(row["advantage"] for row in rows) == pytest.approx(0, abs=1e-4)
    assert len({row["prompt_id"] for row in rows}) == 1


def test_a_resumed_log_drops_what_will_be_made_again(tmp_path):
    from trainers.rollout_log import RolloutLog

    log = RolloutLog(tmp_path, rank=0)
    for step in range(4):
        log.write(step, 0, [])
    log.write(1, 1, [])
    (tmp_path / "rank0000-step00000009.tmp").write_bytes(b"torn")
    for rank in (1, 2):  # the run is resumed with two processes, of which rank 1 cleans up for itself
        RolloutLog(tmp_path, rank).write(3, 0, [])
    RolloutLog(tmp_path, rank=0).drop_after(1, num_processes=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "rank0000-step00000000.parquet",
        "rank0000-step00000001-1.parquet",
        "rank0000-step00000001.parquet",
        "rank0001-step00000003.parquet",
    ]


def test_training_stops_at_the_token_budget_and_counts_on_after_a_resume(make_policy, tokenizer, prompts, arguments):
    def make(limit):
        args = VPOConfig(
            **{**arguments, "max_steps": 8, "save_strategy": "steps", "save_steps": 1}, max_generated_tokens=limit
        )
        return VPOTrainer(
            model=make_policy(),
            reward_funcs=length_reward,
            args=args,
            train_dataset=prompts,
            processing_class=tokenizer,
        )

    first = make(limit=150)
    first.train()
    assert 150 <= first.token_budget.generated < 150 + 8 * 12
    steps = first.state.global_step
    assert 0 < steps < 8
    counted = sum(
        sum(pq.read_table(path, columns=["completion_tokens"])["completion_tokens"].to_pylist())
        for path in first.rollout_folder.glob("*.parquet")
    )
    assert counted == first.token_budget.generated == first.state.log_history[steps - 1]["generated_tokens"]
    again = make(limit=150)  # killed between the last checkpoint and the end
    again.train(resume_from_checkpoint=True)
    assert (again.state.global_step, again.token_budget.generated) == (steps, first.token_budget.generated)
    for name, weight in first.model.named_parameters():
        assert torch.equal(weight, again.model.get_parameter(name))
    assert again.args.max_steps == 8
    second = make(limit=300)
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step > steps
    assert 300 <= second.token_budget.generated < 300 + 8 * 12


def test_a_completion_ends_at_the_closing_tag_of_the_last_answer(make_policy, tokenizer, prompts, arguments, tmp_path):
    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=length_reward,
        args=VPOConfig(**{**arguments, "max_completion_length": 40, "num_answers": 2}),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    trainer.train()
    closing = tokenizer.convert_tokens_to_ids("</answer_2>")
    rows = [row for path in trainer.rollout_folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    ended = [row["completion"].split() for row in rows if "</answer_2>" in row["completion"]]
    assert len(ended) > 3  # an untrained policy writes that word now and then
    assert all(words.index("</answer_2>") == len(words) - 1 for words in ended)
    assert all(row["finish_reason"] == "stop" for row in rows if row["completion"].endswith("</answer_2>"))
    trainer.save_model(str(tmp_path / "saved"))
    config = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert config["eos_token_id"] == [2, closing]
