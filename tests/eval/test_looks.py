"""Rollout log and looks on logs written by hand."""

from __future__ import annotations

import json
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.looks import look_at, looks_of
from eval.rollouts import ROLLOUT_SCHEMA, RolloutLogError, pools, read_rollouts, rollout_files
from tests.eval.rollout_rows import rollout_row

W_STAR = (0.5, 0.5)


def row(step=0, prompt="p", answers=("a", "b"), rewards=((1, 0), (0, 1)), **other):
    vectors = [list(map(float, each)) for each in rewards]
    said = {"prompt_id": prompt, "prompt": prompt, "completion": " ".join(answers), "answers": list(answers)}
    about = {"step": step, "epoch": step / 10, "metadata": json.dumps({"kind": prompt})}
    return rollout_row(**{**said, **about, "rewards": vectors, **other})


def write(folder, step, rows, rank=0, index=0):
    folder.mkdir(parents=True, exist_ok=True)
    name = f"rank{rank:04d}-step{step:08d}{f'-{index}' if index else ''}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ROLLOUT_SCHEMA), folder / name)


def test_files_of_all_ranks_and_batches_come_in_the_order_of_steps(tmp_path):
    for step, rank, index in [(10, 0, 0), (2, 1, 0), (2, 0, 1), (2, 0, 0)]:
        write(tmp_path, step, [row(step, prompt=f"{step}{index}{rank}")], rank, index)
    (tmp_path / "rank0000-step00000003.tmp").write_bytes(b"half")
    assert [(s, [r["prompt_id"] for r in rows]) for s, rows in read_rollouts(tmp_path)] == [
        (2, ["200", "201", "210"]),
        (10, ["1000"]),
    ]
    assert len(rollout_files(tmp_path, after_step=2)) == 1


def test_damaged_and_foreign_files_are_named(tmp_path):
    write(tmp_path / "torn", 0, [row()])
    path = next((tmp_path / "torn").iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RolloutLogError, match=r"rank0000-step00000000.parquet cannot be read"):
        list(read_rollouts(tmp_path / "torn"))
    (tmp_path / "foreign").mkdir()
    pq.write_table(pa.table({"step": [1]}), tmp_path / "foreign" / "rank0000-step00000000.parquet")
    with pytest.raises(RolloutLogError, match="has no column 'epoch'"):
        list(read_rollouts(tmp_path / "foreign"))


def test_pools_gather_a_prompts_answers_and_leave_room_for_missing_ones():
    rows = [
        row(prompt="p"),
        row(prompt="q", answers=[], rewards=[]),
        row(prompt="p", answers=["a"], rewards=[(0.5, 0.5)]),
    ]
    first, second = pools(rows, num_answers=2)
    assert first.rewards.tolist() == [[[1, 0], [0, 1]], [[0.5, 0.5], [0, 0]]]
    assert first.exists.tolist() == [[True, True], [True, False]]
    assert not second.exists.any()
    with pytest.raises(RolloutLogError, match="at most 1"):
        pools(rows, num_answers=1)


def test_a_look_by_hand():
    rows = [
        row(prompt="p", finish_reason="length"),
        row(prompt="p", answers=["a"], rewards=[(0.5, 0.5)]),
        row(prompt="q", answers=["c", "c"], rewards=[(1, 1), (1, 1)], set_reward=1.0),
        row(prompt="q", answers=[], rewards=[], set_reward=0.0),
    ]
    look = look_at([(4, rows)], w_star=(0.5, 0.5), num_answers=2, label=lambda answer, data: answer + data["kind"])
    assert (look.step, look.num_prompts, look.num_completions, look.generated_tokens) == (4, 2, 4, 12)
    assert look.pool_l1 == pytest.approx(((2 + 1 + 1) / 3 + 0) / 2)
    assert look.distinct == 1.5
    assert look.pool_size == 2.5
    assert look.best_at_1 == pytest.approx(((0.5 + 0.5) / 2 + (1 + 0) / 2) / 2)
    assert look.best_of_pool == pytest.approx((0.5 + 1) / 2)
    assert look.set_reward == 0.5
    assert look.answers_per_completion == 5 / 4
    assert look.parse_failure_rate == 0.25
    assert look.truncated_rate == 0.25
    assert look.component_means == {"x": pytest.approx(0.7), "y": pytest.approx(0.7)}
    assert look.shares == {"ap": 0.4, "bp": 0.2, "cq": 0.4}
    assert look.format_shares["truncated"] == 0.25
    assert sum(look.format_shares.values()) == pytest.approx(1)


def test_a_prompt_seen_at_two_steps_is_two_pools():
    look = look_at([(0, [row(0)]), (1, [row(1)])], w_star=(0.5, 0.5), num_answers=2)
    assert look.num_prompts == 2
    assert look.shares == {}


@pytest.mark.parametrize(
    ("every", "num_steps", "ends"),
    [
        (3, 7, [0, 2, 5]),  # one step is left, which is too noisy beside the others
        (3, 8, [0, 2, 5, 7]),
        (4, 9, [0, 3, 7]),
        (1, 3, [0, 1, 2]),
        (10, 1, [0]),
        (10, 5, [0]),
        (10, 6, [0, 5]),
    ],
)
def test_a_log_is_looked_at_at_its_first_step_and_then_every_few(tmp_path, every, num_steps, ends):
    for step in range(num_steps):
        for rank in range(2):
            write(tmp_path, step, [row(step, prompt=f"{step}{rank}")], rank)
    looks = list(looks_of(tmp_path, every, w_star=(0.5, 0.5), num_answers=2))
    assert [look.step for look in looks] == ends
    sizes = [end - before for before, end in pairwise([-1, *ends])]
    assert [(look.num_completions, look.num_prompts) for look in looks] == [(2 * size, 2 * size) for size in sizes]
    last = [(step, rows) for step, rows in read_rollouts(tmp_path) if ends[-1] - sizes[-1] < step <= ends[-1]]
    assert looks[-1] == look_at(last, W_STAR, 2)


def test_a_gap_in_a_log_moves_no_step_into_another_look(tmp_path):
    for step in (0, 1, 4, 5, 9, 10, 11):
        write(tmp_path, step, [row(step)])
    looks = list(looks_of(tmp_path, 4, w_star=(0.5, 0.5), num_answers=2))
    assert [(look.step, look.num_completions) for look in looks] == [(0, 1), (1, 1), (5, 2), (11, 3)]


def test_a_run_without_a_log_is_told_how_to_get_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="log_rollouts=True"):
        list(looks_of(tmp_path / "rollouts", 4, w_star=(0.5, 0.5), num_answers=2))
    assert list(looks_of(tmp_path, 4, w_star=(0.5, 0.5), num_answers=2)) == []


def test_labels_get_the_answer_and_the_dataset_row_and_formats_the_completion(tmp_path):
    rows = [row(metadata=json.dumps({"kind": "hard"})), row(metadata=json.dumps({"kind": "easy"}))]
    look = look_at(
        [(0, rows)],
        W_STAR,
        2,
        label=lambda answer, data: f"{data['kind']} {answer}",
        taxonomy=lambda text, reason, data: f"{data['kind']} {reason}",
    )
    assert look.shares == {"easy a": 0.25, "easy b": 0.25, "hard a": 0.25, "hard b": 0.25}
    assert look.format_shares == {"easy stop": 0.5, "hard stop": 0.5}


def test_chat_completions_are_judged_by_what_they_say():
    """The log holds messages as JSON; taken as they are, every chat would be of the format JSON."""
    said = json.dumps([{"role": "assistant", "content": "It is as I have said."}])
    asked = json.dumps([{"role": "user", "content": "Is it?"}])
    look = look_at([(0, [row(completion=said, prompt=asked)])], W_STAR, 2)
    assert look.format_shares == {"prose": 1.0}


def test_a_step_without_any_answer_counts_as_nothing_earned():
    nothing = row(0, answers=[], rewards=[], components=[], set_reward=0.0)
    look = look_at([(0, [nothing]), (1, [row(1)])], W_STAR, 2)
    assert (look.best_at_1, look.best_of_pool) == (0.25, 0.25)
    assert look.pool_l1 == 2  # of the one pool that has a pair
    alone = look_at([(0, [nothing])], W_STAR, 2, label=lambda answer, data: answer)
    assert (alone.pool_l1, alone.distinct, alone.parse_failure_rate) == (None, 0, 1)
    assert (alone.shares, alone.component_means) == ({}, {})


def test_a_label_function_that_fails_shows_the_answer():
    def label(answer, data):
        raise KeyError("maze")

    with pytest.raises(KeyError) as caught:
        look_at([(0, [row()])], W_STAR, 2, label=label)
    assert caught.value.__notes__ == ["This was to be labelled: 'a'"]
    with pytest.raises(TypeError, match="the label of 'a' is None"):
        look_at([(0, [row()])], W_STAR, 2, label=lambda answer, data: None)


def test_impossible_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every is 0"):
        list(looks_of(tmp_path, 0, w_star=(1.0,), num_answers=1))
    with pytest.raises(ValueError, match="no rollouts to look at"):
        look_at([], w_star=(1.0,), num_answers=1)
    with pytest.raises(ValueError, match="w_star has 3 weights"):
        look_at([(0, [row()])], w_star=(1.0, 1.0, 1.0), num_answers=2)
    with pytest.raises(ValueError, match="'metadata' is 'none'"):
        look_at([(0, [row(metadata="none")])], W_STAR, 2)
