from __future__ import annotations

import json

import pytest

from vpo.tasks import Task, get_task, task

SHOUT = """
from vpo.tasks import task


@task(components=("loud", "short"), w_star=(3, 1), data="questions.jsonl", prompt="question", answer="best")
def shout(answer, row):
    return answer.isupper(), 1 - min(len(answer) / row["limit"], 1)
"""
ROWS = [{"question": f"q{i}", "limit": 10, "best": "A"} for i in range(3)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shout.py").write_text(SHOUT)
    (tmp_path / "mine" / "questions.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["mine/shout.py", "mine.shout", "mine.shout.shout"])
def test_a_file_a_module_or_a_function_is_a_task(name, folder):
    found = get_task(name)
    assert isinstance(found, Task)
    assert (found.name, found.components, found.w_star, found.tag) == (
        "shout",
        ("loud", "short"),
        (0.75, 0.25),
        "answer",
    )
    rows = found.dataset("train", 2, 3)  # the path is relative to the file, not to the working directory
    assert rows["prompt"][:] == ["q0", "q1"]
    assert found.score("HELLO", rows[0]) == (1.0, 0.5)
    assert found("HELLO", rows[0]) == (True, 0.5)  # still the function that was decorated
    assert found.reference(rows[0]) == "A"
    (reward,) = found.reward_funcs
    assert reward.components == ("loud", "short")
    assert reward(["q0", "q1"], ["HI", "hi"], limit=[4, 4], trainer_state=None) == [(1.0, 0.5), (0.0, 0.5)]


def test_options_override_what_the_decorator_says(folder):
    (folder / "other.jsonl").write_text('{"question": "else", "limit": 1, "best": "B"}')
    found = get_task("mine/shout.py", path="other.jsonl", tag="shout")
    assert (found.tag, found.dataset("train", 9, 3)["prompt"][:]) == ("shout", ["else"])
    with pytest.raises(ValueError, match=r"has no option \['speed'\]"):
        get_task("mine/shout.py", speed=2)


def test_data_and_prompts_may_be_made_by_functions_and_vectors_may_be_dicts():
    @task(
        components=["a", "b"],
        data=lambda split: [{"n": i, "split": split} for i in range(4)],
        prompt=lambda row: [{"role": "user", "content": f"{row['split']} {row['n']}"}],
        answer=lambda row: "x" * row["n"],
    )
    def count(answer, row):
        return {"b": None, "a": len(answer) == row["n"]}

    assert count.w_star == (0.5, 0.5)
    rows = count.dataset("test", 9, 3)
    assert rows[3]["prompt"] == [{"role": "user", "content": "test 3"}]
    assert count.score(count.reference(rows[3]), rows[3]) == (1.0, None)


@pytest.mark.parametrize(
    ("returned", "message"),
    [((1, 2, 3), "returned 3 values: expected 2, one each for a, b"), ({"a": 1}, r"returned \['a'\]: expected a, b")],
)
def test_a_vector_of_another_length_is_an_error_that_names_the_components(returned, message):
    @task(components=("a", "b"), data="x.jsonl")
    def wrong(answer, row):
        return returned

    with pytest.raises(ValueError, match=message):
        wrong.score("x", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"components": ()}, "components are"),
        ({"components": ("a", "a")}, "distinct names"),
        ({"components": "ab"}, "components are 'ab'"),
        ({"components": ("a", "b"), "w_star": (1,)}, "expected 2 weights"),
        ({"components": ("a", "b"), "w_star": (0, 0)}, "expected 2 weights"),
    ],
)
def test_components_and_weights_are_checked_where_they_are_written(arguments, message):
    with pytest.raises(ValueError, match=message):
        task(data="x.jsonl", **arguments)


def test_what_is_no_task_says_why(folder):
    (folder / "mine" / "two.py").write_text(SHOUT + SHOUT.replace("def shout", "def cry"))
    (folder / "mine" / "none.py").write_text("x = 1")
    (folder / "mine" / "broken.py").write_text("import package_that_is_not_there")
    with pytest.raises(ValueError, match=r"has 2 functions under @task .*shout.*, cry"):
        get_task("mine/two.py")
    with pytest.raises(ValueError, match=r"has 0 functions under @task \(none\)"):
        get_task("mine/none.py")
    with pytest.raises(ValueError, match="is int: expected a function under @task"):
        get_task("mine.none.x")
    with pytest.raises(ValueError, match=r"there is no file mine/away\.py"):
        get_task("mine/away.py")
    with pytest.raises(ValueError, match=r"'mine\.away' cannot be imported"):
        get_task("mine.away")
    with pytest.raises(ModuleNotFoundError, match="package_that_is_not_there"):
        get_task("mine.broken")


def test_rows_without_the_prompt_or_a_file_that_is_away_are_named(folder):
    (folder / "mine" / "questions.jsonl").write_text('{"limit": 1}')
    with pytest.raises(ValueError, match="row 1, column 'question' is None: expected text or a list"):
        get_task("mine/shout.py").dataset("train", 1, 3)
    with pytest.raises(ValueError, match="there are no rows at"):
        get_task("mine/shout.py", path="away.jsonl").dataset("train", 1, 3)
