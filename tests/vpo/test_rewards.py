"""Vector rewards: ordinary TRL reward functions on answers, and every refusal."""

from __future__ import annotations

import copy
import functools
import math

import pytest
import torch

from tests.vpo.trl_functions import (
    COMPLETIONS,
    ONE,
    PROMPTS,
    THREE,
    call,
    length,
    matches,
    returning,
    vectors,
)
from vpo.rewards import AnswerReward, RewardError, VectorReward


def test_a_function_of_trl_scores_each_answer_and_trl_gets_the_mean():
    reward = AnswerReward(length, THREE)
    assert reward(prompts=PROMPTS, completions=COMPLETIONS, completion_ids=[[1], [2], [3]]) == [1.5, 0.0, 3.0]
    assert reward.last.values == [[[2.0], [1.0]], [], [[3.0]]]
    assert reward.last.components == reward.components == ("length",)
    assert [found.answers for found in reward.last.answer_sets] == [("aa", "b"), (), ("ccc",)]


def test_trl_gets_the_sum_of_the_components():
    assert AnswerReward(returning([[1, 2], [3, 4], [5, 6]]), THREE)(PROMPTS, COMPLETIONS) == [5.0, 0.0, 11.0]


def test_prompts_columns_and_token_ids_are_repeated_for_each_answer():
    given_ = {}

    def spy(**kwargs):
        given_.update(kwargs)
        return [0.0] * len(kwargs["completions"])

    state, log_metric = object(), print
    call(
        spy,
        completion_ids=[[1], [2], [3]],
        truth=["x", "y", "z"],
        options=[[1, 2, 3], [4], []],
        environments=["e0", "e1", "e2"],
        trainer_state=state,
        log_metric=log_metric,
        constant=[1, 2],
    )
    assert given_ == {
        "prompts": ["p0", "p0", "p2"],
        "completions": ["aa", "b", "ccc"],
        "completion_ids": [[1], [1], [3]],
        "truth": ["x", "x", "z"],
        "options": [[1, 2, 3], [1, 2, 3], []],
        "environments": ["e0", "e0", "e2"],
        "trainer_state": state,
        "log_metric": log_metric,
        "constant": [1, 2],
    }


def test_columns_reach_the_answers_of_their_own_row():
    assert call(matches, truth=["b", "b", "ccc"]).last.values == [[[0.0], [1.0]], [], [[1.0]]]


def test_chat_completions_become_one_assistant_message_per_answer():
    seen = []

    def spy(prompts, completions, **kwargs):
        seen.extend(completions)
        return [len(completion[0]["content"]) for completion in completions]

    chat = [
        [{"role": "assistant", "content": COMPLETIONS[0]}],
        [{"role": "assistant", "content": None}],
        [
            {"role": "assistant", "content": THREE.render(["not", "these"])},
            {"role": "tool", "content": "4"},
            {"role": "assistant", "content": [{"type": "text", "text": COMPLETIONS[2]}, {"type": "image"}]},
        ],
    ]
    before = copy.deepcopy(chat)
    assert call(spy, chat).last.values == [[[2.0], [1.0]], [], [[3.0]]]
    assert seen == [[{"role": "assistant", "content": text}] for text in ("aa", "b", "ccc")]
    assert chat == before


def test_one_answer_per_completion_changes_nothing_for_the_function():
    given_ = {}

    def spy(**kwargs):
        given_.update(kwargs)
        return [0.25, 0.5, -1]

    chat = [
        [{"role": "assistant", "content": "", "tool_calls": []}, {"role": "tool", "content": "4"}],
        [{"role": "assistant", "content": " <answer_1>x</answer_1> "}],
        [],
    ]
    log_extra = print
    reward = AnswerReward(spy, ONE)
    assert reward(prompts=PROMPTS, completions=chat, truth=["x"] * 3, log_extra=log_extra) == [0.25, 0.5, -1.0]
    assert given_ == {"prompts": PROMPTS, "completions": chat, "truth": ["x"] * 3, "log_extra": log_extra}
    assert given_["completions"] is chat


def test_the_function_is_called_once_a_batch():
    calls = []

    def spy(completions, **kwargs):
        calls.append(len(completions))
        return length(completions)

    call(spy)
    assert calls == [3]


def test_without_any_answer_the_function_is_not_called():
    def never(**kwargs):
        raise AssertionError

    reward = AnswerReward(never, THREE)
    assert reward(PROMPTS, ["", "x", "<answer_1>cut"]) == [0.0, 0.0, 0.0]
    assert reward.last.values == [[], [], []]
    assert reward.last.components is None


def test_components_stay_known_through_a_batch_without_answers():
    reward = call(returning([[1, 2], [1, 2], [1, 2]]))
    reward(PROMPTS, ["", "", ""])
    assert reward.last.components == ("func[0]", "func[1]")


def test_values_logged_per_answer_become_one_cell_per_completion():
    table = {}

    def logs(completions, log_extra, **kwargs):
        log_extra("text", list(completions))
        return length(completions)

    call(logs, log_extra=lambda column, values: table.setdefault(column, []).extend(values))
    assert table == {"text": [["aa", "b"], [], ["ccc"]]}


def test_logging_another_number_of_values_is_refused():
    def logs(log_extra, **kwargs):
        log_extra("text", ["x"])

    with pytest.raises(RewardError, match=r"log_extra\('text'\) got 1 values: expected 3, one an answer"):
        call(logs, log_extra=print)


def test_a_vector_function_names_its_components():
    reward = call(vectors)
    assert reward.components == ("vectors[0]", "vectors[1]")
    assert reward.last.values == [[[2.0, 0.0], [1.0, 0.0]], [], [[3.0, 3.0]]]


def test_a_function_may_declare_its_components():
    func = returning([[1, 2]] * 3)
    func.components = ("gold", "lava")
    reward = AnswerReward(functools.partial(func), THREE)
    assert reward.components == ("gold", "lava")  # known before the first batch
    reward(PROMPTS, COMPLETIONS)
    assert reward.last.components == ("gold", "lava")


def test_what_is_no_reward_is_refused_with_the_place_of_the_answer():
    message = "'func' returned nan for answer 1 of completion 2 of the batch: expected a finite number"
    with pytest.raises(RewardError, match=message):
        call(returning([0.0, 1.0, math.nan]))


def test_another_number_of_components_in_a_later_batch_is_refused():
    outputs = iter([[[1, 2]] * 3, [[1, 2, 3]] * 3])
    reward = AnswerReward(lambda **_: next(outputs), THREE, name="f")
    reward(PROMPTS, COMPLETIONS)
    with pytest.raises(RewardError, match=r"expected the components f\[0\], f\[1\]\. Return the same components"):
        reward(PROMPTS, COMPLETIONS)


def test_an_exception_inside_the_function_is_chained():
    with pytest.raises(RewardError, match=r"'matches' raised TypeError on 3 answers: .*'truth'") as caught:
        call(matches)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_failed_call_leaves_no_batch_behind():
    reward = AnswerReward(returning([math.nan] * 3), THREE)
    with pytest.raises(RewardError):
        reward(PROMPTS, COMPLETIONS)
    assert reward.last is None


@pytest.mark.parametrize(
    ("func", "message"),
    [
        ("org/reward-model", "'org/reward-model' was given .*expected a function. VPOTrainer makes functions"),
        (torch.nn.Linear(1, 1), r"a Linear \(nn.Module\) was given"),
        (3, "3 was given as a reward function: expected a function"),
        (None, "None was given"),
    ],
)
def test_reward_models_outside_of_a_trainer_and_what_cannot_be_called_are_refused(func, message):
    with pytest.raises(TypeError, match=message):
        AnswerReward(func, THREE)
    with pytest.raises(TypeError, match=message):
        VectorReward([length, func], THREE)
