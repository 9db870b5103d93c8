"""What reasoning-gym's tasks refuse, and what else stands at the door."""

from __future__ import annotations

import json
import pickle
import sys

import pytest

from tests.vpo.tasks.reasoning_gym.generators import (
    rows,
)
from vpo.tasks import get_task
from vpo.tasks.reasoning_gym.entries import unpack
from vpo.tasks.reasoning_gym.generators import make_generator
from vpo.tasks.reasoning_gym.screening import may_be_scored


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("count_down", {}, r"no generator 'count_down': expected one of its \d+.*Did you mean countdown"),
        ("countdown", {"config": {"min_number": 3}}, r"no option 'min_number'.*Did you mean 'min_numbers'\?"),
        ("countdown", {"config": {"min_numbers": 1}}, "refuses config .*min_numbers must be greater than 1"),
        ("countdown", {"config": {"min_numbers": "many"}}, "refuses config .*TypeError"),
        ("countdown", {"config": {"seed": 3}}, "config holds 'seed': expected it outside"),
        ("countdown", {"config": {"size": 3}}, "config holds 'size': expected it outside"),
        ("countdown", {"config": [3]}, r"config is \[3\]: expected a mapping"),
        ("countdown", {"parts": 17}, "parts is 17: expected a whole number from 0 to 16"),
        ("countdown", {"working_chars": 0}, "working_chars is 0"),
        ("countdown", {"seed": "x"}, "seed is 'x'"),
        ("countdown", {"generator": "gcd"}, "expected it in the name"),
        ("countdown", {"colour": 1}, "has not these options"),
        ("game_of_life_halting", {}, "gives any text, which .* full marks"),
        ("coin_flip", {}, "gives '0', the beginning of every chance below 1, full marks"),
        ("composite", {}, "datasets of composite is None: expected a list"),
        ("composite", {"config": {"datasets": [{"weight": 1}]}}, "expected its name, weight and config"),
        ("composite", {"config": {"datasets": [{"name": "gcd", "config": {"x": 1}}]}}, "gcd has no option 'x'"),
        ("composite", {"config": {"datasets": [{"name": "game_of_life_halting"}]}}, "Leave it out"),
        ("composite", {"config": {"datasets": [{"name": "composite"}]}}, "composite itself"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_at_the_door(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_task(f"reasoning_gym:{name}", **options)


@pytest.mark.parametrize(("name", "text"), [("coin_flip", "0"), ("game_of_life_halting", "[]")])
def test_the_refused_scorers_do_what_they_are_refused_for(name, text):
    # If this fails, reasoning-gym has mended it, and the generator can be let in.
    generator = make_generator(name, {}, 0, 100)
    assert sum(generator.score_answer(text, generator[i]) for i in range(100)) > 85  # a chance can be 1
    assert len({generator[i]["answer"] for i in range(100)}) > 1


def test_a_formula_that_sympy_does_not_finish_is_judged_as_none_and_the_next_one_as_ever():
    task, (row, *_) = rows("simple_integration", 1)
    variable = unpack(row["entry"])["metadata"]["variable"]
    endless = f"cos((((exp(4)/sin({variable})))**12+({variable}+((36.29-C)+({variable}/{variable})))))"
    assert may_be_scored("simple_integration", endless)
    assert task.score(f"<answer>{endless}</answer>", row)[0] == 0.0
    assert task.score(f"<answer>{row['answer']} + 7</answer>", row)[0] == 1.0
    task._referee._child.kill()  # as the kernel would, for memory
    task._referee._child.wait()
    assert task.score(f"<answer>{row['answer']} - 7</answer>", row)[0] == 1.0
    task._referee.close()


def test_a_task_can_be_sent_to_another_process():
    task = get_task("reasoning_gym:gcd", parts=1)
    _ = task.reward_funcs, task._judge
    sent = pickle.loads(pickle.dumps(task))
    assert sent == task and sent.components == task.components


def test_without_a_generator_the_task_can_be_listed_and_nothing_else():
    task = get_task("reasoning_gym")
    assert task.components[0] == "score"
    with pytest.raises(ValueError, match="no generator is named: expected reasoning_gym:NAME"):
        task.dataset("train", 1, 1)
    with pytest.raises(ValueError, match="config without a generator"):
        get_task("reasoning_gym", config={"min_numbers": 3})
    with pytest.raises(ValueError, match="there is no task 'reasoning_gym:'"):
        get_task("reasoning_gym:")
    with pytest.raises(ValueError, match="size is 0"):
        get_task("reasoning_gym:gcd").dataset("train", 0, 1)


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ValueError, match=r"cannot be imported .*pip install 'vpo\[reasoning-gym\]'"):
        get_task("reasoning_gym:countdown")
    assert get_task("reasoning_gym").name == "reasoning_gym"


def test_a_mixture_of_generators_is_one_task_and_lists_stand_for_tuples():
    parts = [{"name": "gcd"}, {"name": "countdown", "weight": 2, "config": {"operators": ["+", "-"], "max_numbers": 4}}]
    task, found = rows("composite", 12, config={"datasets": json.loads(json.dumps(parts))})
    assert {unpack(row["entry"])["metadata"]["source_dataset"] for row in found} == {"gcd", "countdown"}
    for row in found:
        assert task.score(task.reference(row), row)[0] == 1.0
        assert task.score("<answer>9**9**9**9</answer>", row)[0] < 0.1  # the screen of the part that it came from
        assert not {"*", "/"} & set(row["answer"])
