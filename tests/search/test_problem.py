import random

import pytest

from search.problem import TaskProblem
from search.records import Candidate
from vpo.answers import AnswerFormat
from vpo.weightings import prompt_key


class LengthTask:
    w_star = (0.75, 0.25)

    def score(self, answer, row):
        return (float(len(answer)), float(row["bonus"]))


class CuttingTask(LengthTask):
    def mutation_prefix(self, answer, row, rng, num_answers):
        return f"{row['bonus']}/{num_answers}/" + answer[: rng.randrange(len(answer))]


ROW = {"prompt": "write", "bonus": 2}


def candidate(answer: str) -> Candidate:
    return Candidate(id=0, answer=answer, vector=(1.0, 1.0), scalar=1.0, parents=(), generation_id=0)


def test_task_row_is_parsed_scored_and_weighted_by_its_task():
    problem = TaskProblem(LengthTask(), ROW, AnswerFormat(num_answers=2))
    assert problem.prompt == "write"
    assert problem.num_answers == 2
    assert problem.parse("<answer_1>ab</answer_1> <answer_2>c</answer_2>") == ["ab", "c"]
    assert problem.evaluate(["ab", "c"]) == [(2.0, 2.0), (1.0, 2.0)]
    assert problem.scalar((2.0, 2.0)) == 0.75 * 2 + 0.25 * 2


def test_id_is_the_prompt_hash_of_the_rollout_log_unless_it_is_given():
    assert TaskProblem(LengthTask(), ROW, AnswerFormat()).id == f"{prompt_key('write'):016x}"
    assert TaskProblem(LengthTask(), ROW, AnswerFormat(), id="mine").id == "mine"


def test_task_that_knows_no_mutation_is_resampled():
    assert TaskProblem(LengthTask(), ROW, AnswerFormat()).vary(candidate("abc"), (), random.Random(0)) is None


def test_mutation_is_the_tasks_own():
    problem = TaskProblem(CuttingTask(), ROW, AnswerFormat(num_answers=2))
    prefixes = {problem.vary(candidate("abc"), (), random.Random(seed)).prefix for seed in range(30)}
    assert prefixes == {"2/2/", "2/2/a", "2/2/ab"}


def test_maze_route_is_cut_and_the_completion_continues_it():
    from vpo.tasks.maze import MazeTask

    task = MazeTask()
    maze = next(task.examples("test"))
    text = task.teacher_completion(maze, 2, random.Random(0))
    problem = TaskProblem(task, task.row(maze, 2), task.answer_format(2))
    first, second = problem.parse(text)
    assert [vector[0] for vector in problem.evaluate([first, second])] == [1.0, 1.0]  # both reach the exit
    prefix = problem.vary(candidate(first), (), random.Random(3)).prefix
    assert text.split()[: len(prefix.split())] == prefix.split()
    rest = " ".join(text.split()[len(prefix.split()) :])
    assert problem.parse(f"{prefix} {rest}") == [first, second]


def test_row_without_prompt_is_refused():
    with pytest.raises(ValueError, match=r"columns \['bonus'\], expected 'prompt'"):
        TaskProblem(LengthTask(), {"bonus": 1}, AnswerFormat())


def test_vector_that_w_star_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="scored 3 components, expected 2"):
        TaskProblem(LengthTask(), ROW, AnswerFormat()).scalar((1.0, 1.0, 1.0))
