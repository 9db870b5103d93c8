"""Problems by name: every built-in task on small rows of its own columns, and tasks of a user's."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from search import BestOfN, Budget, Sampling, ScriptedSampler, run_search
from search.problem import TaskProblem
from search.problems import get_problems, list_problems
from search.records import Candidate, Evaluation
from tests.vpo.tasks.task_rows import (
    TOOL_TURNS,
    deepcoder_rows,
    eureqa_row,
    humaneval_row,
    mbpp_row,
    musique_row,
    toolrl_row,
    write_rows,
)
from vpo.tasks import get_task, list_tasks


def write_data(name: str, folder: Path) -> dict[str, object]:
    """Local rows of a task, and the options that read them."""
    match name:
        case "musique":
            write_rows(folder / "validation.jsonl", [musique_row(2 + i % 3, i) for i in range(6)])
        case "eureqa":
            write_rows(folder / "questions_normal_5.jsonl", [eureqa_row(i) for i in range(4)])
            write_rows(folder / "questions_hard_5.jsonl", [eureqa_row(10 + i) for i in range(4)])
        case "toolrl":
            write_rows(folder / "test.jsonl", [toolrl_row(turn, i) for i, turn in enumerate(TOOL_TURNS)])
        case "code":
            write_rows(folder / "test.jsonl", deepcoder_rows())
        case _:
            return {}
    return {"path": str(folder)}


@pytest.fixture(params=["reasoning_gym:countdown" if name == "reasoning_gym" else name for name in list_tasks()])
def name(request) -> str:
    return request.param


def first_vector(found) -> tuple[float, ...]:
    return found.vector if isinstance(found, Evaluation) else found


def test_every_task_gives_problems_that_score_and_can_be_varied(name, tmp_path):
    problems = get_problems(name, num_problems=3, num_answers=2, **write_data(name, tmp_path))
    assert len({problem.id for problem in problems}) == len(problems) >= 2
    task = get_task(name, **write_data(name, tmp_path))
    for problem in problems:
        assert isinstance(problem, TaskProblem) and problem.num_answers == 2
        reference = task.reference(problem._row) or "nothing"
        vectors = [first_vector(each) for each in problem.evaluate([reference, "nonsense"])]
        assert all(len(vector) == len(problem.components) == len(problem.w_star) for vector in vectors)
        if task.reference(problem._row) is not None:
            assert problem.scalar(vectors[0]) == pytest.approx(1.0)
        assert problem.scalar(vectors[1]) < 1.0
        parent = Candidate(
            id=0, answer=reference, vector=vectors[0], scalar=problem.scalar(vectors[0]), parents=(), generation_id=0
        )
        variation = problem.vary(parent, (), random.Random(0))
        if isinstance(problem.prompt, list):
            instruction = problem._answer_format.instruction()
            assert problem.prompt[-1]["content"].endswith(instruction)
            text = variation.prompt[-1]["content"]
            assert text.endswith(instruction) and text.count(instruction) == 1
            start = problem.prompt[-1]["content"].removesuffix(instruction)
            assert text.startswith(start) and reference in text
            assert variation.prompt[:-1] == problem.prompt[:-1]
        elif name == "maze":
            assert variation.prefix and variation.prompt is None
        else:
            assert variation is None


@pytest.mark.parametrize(
    ("source", "rows"), [("humaneval", [humaneval_row()]), ("mbpp", [mbpp_row()]), ("deepcoder", deepcoder_rows())]
)
def test_programs_of_every_source_are_run_in_the_sandbox_in_a_batch(source, rows, tmp_path):
    write_rows(tmp_path / "test.jsonl", rows)
    problems = get_problems("code", source=source, path=str(tmp_path), num_answers=2)
    for problem in problems:
        solution = problem._row["solution"]
        bad = ["import os; os._exit(0)", "raise ValueError", ""]
        found = problem.evaluate([solution, f"```python\n{solution}\n```", *bad])
        full, fenced, *others = [each.vector for each in found]
        assert set(full) == {1.0} and fenced == full
        assert all(set(vector) == {0.0} for vector in others)
        assert problem.scalar(full) == pytest.approx(1.0)
        assert found[0].artifact == "" and found[2].artifact.startswith("test_1 fails")


def test_failing_tests_are_shown_by_their_inputs_and_not_by_their_outputs(tmp_path):
    row = dict(deepcoder_rows()[0])
    write_rows(tmp_path / "test.jsonl", [row])
    (problem,) = get_problems("code", path=str(tmp_path), num_answers=2)
    (found,) = problem.evaluate(["a, b = map(int, input().split())\nprint(a + b if a == 0 else 987654)"])
    assert found.vector == (1.0, 0.0, 0.0) and problem.components == ("test_1", "test_2", "test_3")
    assert found.artifact == "test_2 fails. Its input:\n1 1\ntest_3 fails. Its input:\n2 1"
    parent = Candidate(
        id=0, answer="x", vector=found.vector, scalar=1 / 3, parents=(), generation_id=0, artifact=found.artifact
    )
    text = problem.vary(parent, (), random.Random(0)).prompt[-1]["content"]
    assert "test_1 = 1.0, test_2 = 0.0, test_3 = 0.0" in text and "Its input:\n2 1" in text


OWN = """
from vpo.tasks import task


@task(components=("loud", "short"), data=lambda split: [{"prompt": f"Say {i}.", "limit": 10} for i in range(3)])
def shout(answer, row):
    return float(answer.isupper()), None if row["prompt"] == "Say 1." else 1 - min(len(answer) / row["limit"], 1)
"""


def test_a_task_of_ones_own_is_searched_on(tmp_path):
    file = tmp_path / "shout.py"
    file.write_text(OWN)
    problems = get_problems(str(file), num_answers=1)
    assert [len(problem.components) for problem in problems] == [2, 1, 2]

    def script(prompt, prefix, seed):
        return random.Random(seed).choice(["HEY", "hey", "HELLO THERE"])

    results = run_search(
        problems, lambda problem: BestOfN(), ScriptedSampler(script), Budget(max_answers=12), sampling=Sampling()
    )
    assert [result.best[-1] for result in results] == pytest.approx([0.5 + 0.5 * 0.7, 1.0, 0.5 + 0.5 * 0.7])


def test_chat_mazes_are_varied_by_a_prompt(tmp_path):
    (problem,) = get_problems("maze", num_problems=1, wording="chat")
    assert isinstance(problem.prompt, list)
    assert problem.prompt[-1]["content"].endswith(problem._answer_format.instruction())
    assert get_problems("maze", num_problems=1)[0].prompt.count("answer") == 0


def test_rows_of_one_prompt_are_one_problem(tmp_path):
    write_rows(tmp_path / "test.jsonl", [toolrl_row(TOOL_TURNS[0], 0)] * 3)
    assert len(get_problems("toolrl", path=str(tmp_path))) == 1


def test_names_and_options_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="no problem 'circle': known are circle_packing"):
        get_problems("circle")
    with pytest.raises(ValueError, match="has not these options"):
        get_problems("maze", sizes=3)
    assert {"circle_packing", "openevolve", "musique"} <= set(list_problems())


def test_every_listed_open_problem_can_be_had():
    for name in list_problems():
        if name != "openevolve" and name not in list_tasks():
            assert get_problems(name)[0].id.startswith(name.removesuffix("_or3").removesuffix("_weibull_5k"))


def test_the_names_are_there_without_torch():
    script = (
        "import sys, search.problems as p\n[getattr(p, name) for name in p.__all__]\np.get_problems('circle_packing')\n"
        "print(sorted({'torch', 'transformers', 'scipy', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
