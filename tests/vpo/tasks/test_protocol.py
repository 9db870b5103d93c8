from __future__ import annotations

import pytest

from tests.vpo.tasks.task_rows import TOOL_TURNS, eureqa_row, musique_row, toolrl_row, write_rows
from vpo.answers import AnswerFormat
from vpo.rewards import VectorReward
from vpo.tasks import Task, get_task, list_tasks


@pytest.mark.parametrize(
    "name", ["reasoning_gym:countdown" if name == "reasoning_gym" else name for name in list_tasks()]
)
def test_every_task_fits_the_protocol_and_has_weights_for_its_components(name):
    task = get_task(name, **({"runner": print} if name == "code" else {}))  # nothing is run
    assert isinstance(task, Task)
    assert task.name == name
    assert len(task.w_star) == len(task.components) == len(set(task.components))
    assert sum(task.w_star) == pytest.approx(1)
    with pytest.raises(ValueError, match="expected 'train' or 'test'"):
        task.dataset("dev", 1, 3)


def test_an_unknown_task_or_option_names_what_there_is():
    known = ", ".join(map(repr, list_tasks()))
    with pytest.raises(ValueError, match=f"no task 'chess': known tasks are {known}"):
        get_task("chess")
    with pytest.raises(ValueError, match=r"has not these options: .*'speed'.* Expected some of path, norm"):
        get_task("musique", speed=1)


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("musique", "train.jsonl", [musique_row(4, 0), musique_row(2, 1)]),
        ("eureqa", "questions_normal_5.jsonl", [eureqa_row(0), eureqa_row(1)]),
        ("toolrl", "train.jsonl", [toolrl_row(turn) for turn in TOOL_TURNS[2:]]),
    ],
)
def test_a_trainer_reads_the_answers_of_a_completion_and_pays_each_by_its_own_row(name, file, rows, tmp_path):
    write_rows(tmp_path / file, rows)
    options = {"split_rule": "normal_to_hard"} if name == "eureqa" else {}
    task = get_task(name, path=str(tmp_path), **options)
    found = list(task.dataset("train", 2, num_answers=3))
    answers = AnswerFormat(3, tag=task.tag)
    mine, other = (task.reference(row) for row in found)
    completions = [
        [{"role": "assistant", "content": answers.render([mine, other, ""], "I reason first.")}],
        [{"role": "assistant", "content": answers.render([other], "I reason first.")}],
    ]
    columns = {key: [row[key] for row in found] for key in found[0] if key != "prompt"}
    reward = VectorReward(task.reward_funcs, answers)
    for adapter in reward.adapters:
        adapter([row["prompt"] for row in found], completions, **columns)
    values, mask = reward.collect()
    assert reward.components == task.components
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    full = [1.0] * len(task.components)
    assert values[0, 0].tolist() == full and values[1, 0].tolist() == full
    assert values[0, 1].tolist() == pytest.approx(list(task.score(other, found[0])))
    assert values[0, 1].tolist() != full and values[0, 2].tolist() != full
