"""Our own log: answers as samples, whoever generated them."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from eval.rollouts import ROLLOUT_SCHEMA
from eval.sources import DamagedFileError, SourceError, open_source
from tests.eval.sources.logs import rollout, write_rollouts


def test_each_answer_is_a_sample_with_what_its_completion_knows(tmp_path):
    rows = [
        rollout(3, answers=["a", "b"], rewards=[[1.0, None], [0.0, 0.5]], depths=[2, 4], metadata='{"level": 1}'),
        rollout(3, prompt="q", answers=["c"], rewards=[[0.25, 1.0]], depths=[], finish_reason="length"),
    ]
    (samples,) = open_source(write_rollouts(tmp_path, rows)).read()
    assert (samples.step, samples.epoch, samples.components) == (3, 0.5, ("x", "y"))
    assert samples.texts == ["a", "b", "c"]
    assert samples.completions.tolist() == [0, 0, 1]
    np.testing.assert_equal(samples.rewards, [[1, math.nan], [0, 0.5], [0.25, 1]])
    np.testing.assert_equal(samples.depths, [3, 3, math.nan])
    assert samples.prompt_ids == [rows[0]["prompt_id"]] * 2 + [rows[1]["prompt_id"]]
    assert samples.prompts == ["p", "p", "q"]
    assert samples.finish_reasons == ["stop", "stop", "length"]
    assert samples.tokens.tolist() == [3, 3, 3]
    assert samples.rows == [{"level": 1}, {"level": 1}, {}]
    assert samples.entropies is None


def test_a_completion_without_an_answer_is_one_sample_with_all_its_text_and_no_reward(tmp_path):
    messages = json.dumps([{"role": "assistant", "content": "I cannot."}])
    chat = {"prompt": json.dumps([{"role": "user", "content": "Can you?"}]), "completion": messages}
    rows = [rollout(1), rollout(1, answers=[], rewards=[], components=[], **chat), rollout(1)]
    source = open_source(write_rollouts(tmp_path, rows))
    (samples,) = source.read()
    assert samples.texts == ["a", "b", "I cannot.", "a", "b"]
    assert samples.rewards.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1]]
    assert samples.completions.tolist() == [0, 0, 1, 2, 2]
    assert source.warnings == [
        "some completions hold no answer that could be read, 1 of 3 at step 1: each counts as one sample with all of "
        "its text and reward 0."
    ]


def test_steps_before_the_first_answer_know_their_components_from_later_ones(tmp_path):
    nothing = {"answers": [], "rewards": [], "components": []}
    write_rollouts(tmp_path, [rollout(0, **nothing), rollout(1, **nothing), rollout(2)])
    steps = list(open_source(tmp_path).read())
    assert [each.components for each in steps] == [("x", "y")] * 3
    assert [each.rewards.tolist() for each in steps[:2]] == [[[0, 0]]] * 2
    (tmp_path / "rollouts" / "rank0000-step00000002.parquet").unlink()
    assert [each.components for each in open_source(tmp_path).read()] == [(), ()]


def test_all_processes_and_batches_of_a_step_are_one(tmp_path):
    write_rollouts(tmp_path, [rollout(0), rollout(1)], rank=0)
    write_rollouts(tmp_path, [rollout(0, answers=["c"], rewards=[[1, 1]])], rank=1)
    folder = tmp_path / "rollouts"
    (folder / "rank0000-step00000001.parquet").rename(folder / "rank0000-step00000000-1.parquet")
    (samples,) = open_source(tmp_path).read()
    assert samples.texts == ["a", "b", "c", "a", "b"] or samples.texts == ["a", "b", "a", "b", "c"]


def test_entropy_and_sampling_of_later_logs_are_read(tmp_path):
    schema = pa.schema(
        [*ROLLOUT_SCHEMA, ("entropies", pa.list_(pa.float32())), ("temperature", pa.float64())],
        metadata=ROLLOUT_SCHEMA.metadata,
    )
    rows = [rollout(0, entropies=[0.5, 1.5], temperature=0.75), rollout(0, entropies=[], temperature=0.75)]
    (samples,) = open_source(write_rollouts(tmp_path, rows, schema=schema)).read()
    np.testing.assert_equal(samples.entropies, [1, 1, math.nan, math.nan])
    assert samples.sampling == {"temperature": 0.75}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"components": ["x", "z"]}, r"step 1 has the reward components \['x', 'z'\], expected \['x', 'y'\]"),
        ({"rewards": [[1.0], [1.0]]}, "step 1 has an answer with 1 rewards, expected 2"),
        ({"metadata": "[]"}, r"step 1, row 0: 'metadata' is '\[\]', expected a JSON object"),
    ],
)
def test_a_log_of_two_runs_is_refused(change, message, tmp_path):
    write_rollouts(tmp_path, [rollout(0), rollout(1, **change)])
    with pytest.raises(SourceError, match=message):
        list(open_source(tmp_path).read())


def test_a_damaged_file_is_named_or_left_out(tmp_path):
    write_rollouts(tmp_path, [rollout(0), rollout(1)])
    path = tmp_path / "rollouts" / "rank0000-step00000001.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DamagedFileError, match=f"{path.name} cannot be read as Parquet"):
        list(open_source(tmp_path).read())
    source = open_source(tmp_path, skip_damaged=True)
    assert [each.step for each in source.read()] == [0]
    assert path.name in source.warnings[0]


def test_a_follower_sees_steps_before_the_first_answer_as_they_come(tmp_path):
    nothing = {"answers": [], "rewards": [], "components": []}
    source = open_source(tmp_path, kind="vpo")
    write_rollouts(tmp_path, [rollout(0, **nothing), rollout(1, **nothing)])
    assert [each.components for each in source.poll()] == [()]
    write_rollouts(tmp_path, [rollout(2)])
    assert [each.components for each in source.poll(after_step=0)] == [("x", "y")]
    assert [each.components for each in source.poll(after_step=1, final=True)] == [("x", "y")]
