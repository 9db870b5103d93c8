"""TRL's completions as its trainer writes them, in each way that it can be set up."""

from __future__ import annotations

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from eval.sources import SourceError, follow, open_source
from tests.eval.sources.logs import write_trl_step
from tests.search.tiny_policy import tiny_policy, tiny_tokenizer
from vpo.weightings import prompt_key

TEXT = ["a b", "b c", "c d", "d e"]
CHAT = [[{"role": "system", "content": "i"}, {"role": "user", "content": text}] for text in TEXT]


def length(completions, log_extra=None, **kwargs):
    texts = [each if isinstance(each, str) else each[0]["content"] for each in completions]
    if log_extra is not None:
        log_extra("first_word", [(text.split() or [""])[0] for text in texts])
    return [float(len(text)) for text in texts]


def for_some(prompts, completions, **kwargs):
    """A reward that does not apply to prompts with an `a`."""
    return [None if "a" in str(prompt) else 1.0 for prompt in prompts]


def trained(tmp_path, prompts=TEXT, **options):
    """The run's folder, and every batch that it generated: prompts, completions, rewards by function."""
    args = GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=8,
        log_completions=True,
        seed=1,
        **{"logging_steps": 1, "max_steps": 3, **options},
    )
    trainer = GRPOTrainer(
        model=tiny_policy(),
        reward_funcs=[length, for_some],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tiny_tokenizer(),
    )
    batches = []
    inner = trainer._calculate_rewards

    def record(inputs, prompts, completions, completion_ids):
        rewards = inner(inputs, prompts, completions, completion_ids)
        batches.append((list(prompts), list(completions), rewards.double().numpy().copy()))
        return rewards

    trainer._calculate_rewards = record
    trainer.train()
    return batches


def assert_same(samples, batch):
    prompts, completions, rewards = batch
    assert list(samples.prompt_ids) == [f"{prompt_key(prompt):016x}" for prompt in prompts]
    assert samples.texts == [each if isinstance(each, str) else each[0]["content"] for each in completions]
    np.testing.assert_array_equal(samples.rewards, rewards)


@pytest.mark.parametrize("prompts", [TEXT, CHAT])
def test_a_real_run_reads_as_what_it_generated(prompts, tmp_path, capsys):
    batches = trained(tmp_path, prompts)
    source = open_source(tmp_path)
    assert source.name == "TRL completions"
    steps = list(source.read())
    assert [each.step for each in steps] == [1, 2, 3] and len(batches) == 3
    for samples, batch in zip(steps, batches, strict=True):
        assert_same(samples, batch)
        assert samples.components == ("length", "for_some")
        assert [row["first_word"] for row in samples.rows] == [(text.split() or [""])[0] for text in samples.texts]
        assert samples.epoch is None and samples.tokens is None
        assert [math.isnan(reward) for reward in samples.rewards[:, 1]] == ["a" in text for text in samples.prompts]
    assert source.warnings == []
    follower = open_source(tmp_path)
    assert [each.step for each in follow(follower, 0, lambda: True)] == [1, 2, 3]


@pytest.mark.parametrize("option", [{"num_iterations": 2}, {"steps_per_generation": 2}])
def test_a_batch_that_trains_two_steps_counts_once(option, tmp_path, capsys):
    batches = trained(tmp_path, max_steps=4, **option)
    assert len(list((tmp_path / "completions").iterdir())) == 4 and len(batches) == 2
    source = open_source(tmp_path)
    steps = list(source.read())
    assert [each.step for each in steps] == [1, 3]
    for samples, batch in zip(steps, batches, strict=True):
        assert_same(samples, batch)
    assert len(source.warnings) == 1 and source.warnings[0].startswith("step 2 repeats the batch of step 1")
    assert [each.step for each in source.read(after_step=1)] == [3]
    assert [each.step for each in source.read(after_step=2)] == [3]
    assert [each.step for each in source.read(after_step=3)] == []


def test_batches_between_two_loggings_are_lost_and_said_to_be(tmp_path, capsys):
    batches = trained(tmp_path, logging_steps=2, max_steps=4)
    source = open_source(tmp_path)
    steps = list(source.read())
    assert [each.step for each in steps] == [2, 4] and len(batches) == 4
    assert_same(steps[0], batches[1])
    assert_same(steps[1], batches[3])
    assert "step 2 and then at step 4" in source.warnings[0] and "logging_steps=1" in source.warnings[0]


def test_images_and_tool_calls_are_text_in_their_place(tmp_path):
    (tmp_path / "completions").mkdir()
    prompt = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    called = [{"role": "assistant", "content": None, "tool_calls": [{"name": "zoom", "arguments": {"x": 1}}]}]
    write_trl_step(tmp_path / "completions", 1, [prompt], [called], {"r": [1.0]}, {"images": [None]})
    (samples,) = open_source(tmp_path).read()
    assert samples.prompts == ["user: [image]\nWhat is it?"]
    assert samples.texts == ['<tool_call>{"name": "zoom", "arguments": {"x": 1}}</tool_call>']


@pytest.mark.parametrize(
    ("name", "message"),
    [("completions_00002.parquet", r"completions_00002.parquet holds step 1, expected 2 as in its name")],
)
def test_a_file_under_the_name_of_another_step_is_named(name, message, tmp_path):
    (tmp_path / "completions").mkdir()
    write_trl_step(tmp_path / "completions", 1, ["p"], ["t"], {"r": [1.0]}).rename(tmp_path / "completions" / name)
    with pytest.raises(SourceError, match=message):
        list(open_source(tmp_path).read())


def test_another_table_under_the_name_of_completions_is_refused_by_column(tmp_path):
    (tmp_path / "completions").mkdir()
    path = write_trl_step(tmp_path / "completions", 1, ["p"], ["t"], {"r": [1.0]})
    pq.write_table(pq.read_table(path).drop_columns(["advantage"]), path)
    with pytest.raises(SourceError, match="no column 'advantage': expected TRL's columns, got step, prompt"):
        list(open_source(tmp_path).read())


def test_an_empty_file_is_left_out_with_a_warning(tmp_path):
    (tmp_path / "completions").mkdir()
    write_trl_step(tmp_path / "completions", 1, [], [], {})
    write_trl_step(tmp_path / "completions", 2, ["p"], ["t"], {"r": [1.0]})
    source = open_source(tmp_path)
    assert [each.step for each in source.read()] == [2]
    assert "completions_00001.parquet holds no samples: left out." in source.warnings[0]
