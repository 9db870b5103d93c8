"""The monitor over a run that is killed, resumed, and logs from several processes; and looks on hard inputs."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import TrainerControl, TrainerState

from eval.looks import Look, append_look, look_at, read_looks
from eval.monitor import RolloutMonitor
from eval.rollouts import ROLLOUT_SCHEMA
from tests.eval.rollout_rows import rollout_row

W_STAR = (0.5, 0.5)


def row(step=0, rank=0, **other):
    return rollout_row(**{"step": step, "epoch": step / 10, "rank": rank, "completion": "Both of them.", **other})


class Run:
    """A trainer as the callback sees it, logging one completion a step and process."""

    def __init__(self, folder, num_processes=1, set_reward=0.5):
        self.folder, self.num_processes, self.set_reward = folder, num_processes, set_reward

    def train(self, monitor, first, last, ends=True):
        state = TrainerState(global_step=first, is_world_process_zero=True)
        control = TrainerControl()
        monitor.on_train_begin(None, state, control)
        for step in range(first, last):
            for rank in range(self.num_processes):
                self.log(step, rank)
            state.global_step = step + 1
            monitor.on_step_end(None, state, control)
        if ends:
            monitor.on_train_end(None, state, control)

    def log(self, step, rank):
        folder = self.folder / "rollouts"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"rank{rank:04d}-step{step:08d}.parquet"
        pq.write_table(
            pa.Table.from_pylist([row(step, rank, set_reward=self.set_reward)], schema=ROLLOUT_SCHEMA), folder / name
        )


def monitor_of(folder, **options):
    return RolloutMonitor(folder, **{"w_star": W_STAR, "num_answers": 2, "every": 4, **options})


@pytest.mark.parametrize("resume_at", range(0, 12))
def test_a_run_killed_anywhere_counts_every_rollout_once_and_none_twice(tmp_path, resume_at):
    Run(tmp_path, set_reward=0.0).train(monitor_of(tmp_path), 0, 11, ends=False)
    resumed = monitor_of(tmp_path)
    Run(tmp_path, set_reward=1.0).train(resumed, resume_at, 14)
    assert sum(look.num_completions for look in resumed.looks) == 14
    # What the resumed run made anew is seen as it is now, also where a look had covered it before.
    made_anew = sum(look.num_completions * look.set_reward for look in resumed.looks)
    assert made_anew == pytest.approx(14 - resume_at)
    steps = [look.step for look in resumed.looks]
    assert steps == sorted(set(steps))
    assert steps[-1] == 13
    assert read_looks(resumed.path) == resumed.looks


def test_a_fresh_run_in_an_old_folder_starts_its_looks_anew(tmp_path):
    Run(tmp_path).train(monitor_of(tmp_path), 0, 9)
    for path in (tmp_path / "rollouts").iterdir():
        path.unlink()  # the trainer's writer does so
    monitor = monitor_of(tmp_path)
    Run(tmp_path).train(monitor, 0, 3)
    assert [look.step for look in read_looks(monitor.path)] == [0, 2]


def test_a_last_look_at_too_few_steps_is_not_taken(tmp_path):
    monitor = monitor_of(tmp_path)
    Run(tmp_path).train(monitor, 0, 9)  # a look every 4 steps: one step is left, which is too noisy beside the others
    assert [look.step for look in monitor.looks] == [0, 3, 7]
    Run(tmp_path / "brief").train(brief := monitor_of(tmp_path / "brief"), 0, 1)
    assert [look.step for look in brief.looks] == [0]


def test_the_rollouts_of_all_processes_are_looked_at_together(tmp_path):
    monitor = monitor_of(tmp_path)
    Run(tmp_path, num_processes=3).train(monitor, 0, 4)
    assert [(look.num_completions, look.num_prompts) for look in monitor.looks] == [(3, 1), (9, 3)]


def test_rollouts_of_a_step_to_come_are_left_for_the_next_look(tmp_path):
    """Another process may be ahead of the main one."""
    run, monitor = Run(tmp_path), monitor_of(tmp_path, every=1)
    run.log(1, rank=1)
    run.train(monitor, 0, 2)
    assert [(look.step, look.num_completions) for look in monitor.looks] == [(0, 1), (1, 2)]


def test_a_torn_line_is_dropped_and_the_file_goes_on(tmp_path):
    run, monitor = Run(tmp_path), monitor_of(tmp_path)
    run.train(monitor, 0, 5)
    with monitor.path.open("ab") as file:
        file.write('{"step": 9, "shares": {"Gr\u00f6'.encode()[:-1])  # cut in the middle of a letter
    kept = read_looks(monitor.path)
    assert kept == monitor.looks
    append_look(monitor.path, kept[0])
    assert read_looks(monitor.path) == [*kept, kept[0]]


def test_a_run_that_logs_no_rollouts_is_told_so_at_its_first_step(tmp_path):
    state = TrainerState(global_step=1, is_world_process_zero=True)
    with pytest.raises(FileNotFoundError, match="log_rollouts=True"):
        monitor_of(tmp_path).on_step_end(None, state, TrainerControl())


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
    assert Look.from_json(alone.to_json()) == alone


def test_a_label_function_that_fails_shows_the_answer():
    def label(answer, data):
        raise KeyError("maze")

    with pytest.raises(KeyError) as caught:
        look_at([(0, [row()])], W_STAR, 2, label=label)
    assert caught.value.__notes__ == ["This was to be labelled: 'a'"]
    with pytest.raises(TypeError, match="the label of 'a' is None"):
        look_at([(0, [row()])], W_STAR, 2, label=lambda answer, data: None)


def test_impossible_settings_and_logs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_answers is 0"):
        monitor_of(tmp_path, num_answers=0)
    with pytest.raises(ValueError, match="w_star is empty"):
        monitor_of(tmp_path, w_star=())
    with pytest.raises(ValueError, match="'metadata' is 'none'"):
        look_at([(0, [row(metadata="none")])], W_STAR, 2)
    (tmp_path / "looks.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(ValueError, match="line 1 is no look"):
        read_looks(tmp_path / "looks.jsonl")
