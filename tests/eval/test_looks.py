"""Rollout log, looks and monitor on logs written by hand."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import TrainerControl, TrainerState

from eval.looks import append_look, look_at, read_looks
from eval.monitor import RolloutMonitor
from eval.rollouts import ROLLOUT_SCHEMA, RolloutLogError, pools, read_rollouts, rollout_files
from tests.eval.rollout_rows import rollout_row


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


def test_looks_survive_the_file_and_a_torn_last_line(tmp_path):
    look = look_at([(0, [row()])], w_star=(0.5, 0.5), num_answers=2)
    path = tmp_path / "looks.jsonl"
    append_look(path, look)
    append_look(path, look)
    with path.open("a") as file:
        file.write('{"step": 3, "epo')
    assert read_looks(path) == [look, look]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(ValueError, match="line 1 is no look"):
        read_looks(path)


def test_the_monitor_looks_when_it_is_time_and_continues_after_a_resume(tmp_path):
    def run(monitor, first, last):
        state = TrainerState(global_step=first, is_world_process_zero=True)
        monitor.on_train_begin(None, state, TrainerControl())
        for step in range(first, last):
            write(tmp_path / "rollouts", step, [row(step)])
            state.global_step = step + 1
            monitor.on_step_end(None, state, TrainerControl())
        return state

    monitor = RolloutMonitor(tmp_path, w_star=(0.5, 0.5), num_answers=2, every=3)
    run(monitor, 0, 7)
    assert [look.step for look in read_looks(monitor.path)] == [0, 2, 5]
    resumed = RolloutMonitor(tmp_path, w_star=(0.5, 0.5), num_answers=2, every=3)
    state = run(resumed, 4, 8)  # the checkpoint was older than the last look
    resumed.on_train_end(None, state, TrainerControl())
    assert [look.step for look in read_looks(monitor.path)] == [0, 2, 5, 7]
    assert [look.num_completions for look in resumed.looks] == [1, 2, 3, 2]


def test_only_the_main_process_looks(tmp_path):
    monitor = RolloutMonitor(tmp_path, w_star=(1.0, 0.0), num_answers=2, every=1)
    write(tmp_path / "rollouts", 0, [row()])
    monitor.on_step_end(None, TrainerState(global_step=1, is_world_process_zero=False), TrainerControl())
    assert monitor.looks == []


def test_impossible_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every is 0"):
        RolloutMonitor(tmp_path, w_star=(1.0,), num_answers=1, every=0)
    with pytest.raises(ValueError, match="no rollouts to look at"):
        look_at([], w_star=(1.0,), num_answers=1)
    with pytest.raises(ValueError, match="w_star has 3 weights"):
        look_at([(0, [row()])], w_star=(1.0, 1.0, 1.0), num_answers=2)
