import random
import threading

import pytest

from search.problem import TaskProblem
from search.records import Candidate, Evaluation
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


class WordsTask(LengthTask):
    def vocabulary(self, num_answers):
        return ["a", "b"]


def test_a_policy_with_a_vocabulary_of_its_own_is_resampled_since_no_prompt_can_be_written_in_it():
    assert TaskProblem(WordsTask(), ROW, AnswerFormat()).vary(candidate("abc"), (), random.Random(0)) is None


def varied(task, row, **options):
    return TaskProblem(task, row, AnswerFormat(num_answers=2), **options).vary(candidate("abc"), (), random.Random(0))


def test_a_language_model_is_shown_the_parent_in_the_form_of_training():
    instruction = AnswerFormat(num_answers=2).instruction()
    row = {"prompt": AnswerFormat(num_answers=2).ask("write"), "bonus": 2}
    text = varied(LengthTask(), row).prompt
    assert text.startswith("write\n\nAttempts") and text.endswith(instruction) and text.count(instruction) == 1
    assert "component_1 = 1.0, component_2 = 1.0\nabc" in text
    chat = {"prompt": AnswerFormat(num_answers=2).ask([{"role": "user", "content": "write"}]), "bonus": 2}
    assert varied(LengthTask(), chat).prompt == [{"role": "user", "content": text}]


def test_text_is_varied_by_the_tasks_prefix_and_chat_by_a_prompt_unless_one_says_otherwise():
    chat = {"prompt": [{"role": "user", "content": "write"}], "bonus": 2}
    assert varied(CuttingTask(), ROW).prompt is None and varied(CuttingTask(), ROW).prefix
    assert varied(CuttingTask(), chat).prefix == "" and varied(CuttingTask(), chat).prompt
    assert varied(CuttingTask(), chat, vary="prefix").prefix
    assert varied(CuttingTask(), ROW, vary="prompt").prompt
    assert varied(CuttingTask(), ROW, vary="none") is None


def test_a_way_to_vary_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="has no mutation_prefix"):
        varied(LengthTask(), ROW, vary="prefix")
    with pytest.raises(ValueError, match="expected 'auto', 'prefix', 'prompt' or 'none'"):
        varied(LengthTask(), ROW, vary="cut")


class PartialTask:
    """The second component applies only where the row says so."""

    components = ("length", "bonus", "vowels")
    w_star = (0.5, 0.3, 0.2)

    def score(self, answer, row):
        return (float(len(answer)), row.get("bonus"), float(answer.count("a")))


def test_components_that_do_not_apply_are_left_out_of_vectors_names_and_weights():
    problem = TaskProblem(PartialTask(), {"prompt": "x", "bonus": None}, AnswerFormat())
    assert problem.components == ("length", "vowels")  # before any answer was scored
    assert problem.w_star == pytest.approx((0.5 / 0.7, 0.2 / 0.7))
    assert problem.evaluate(["aab"]) == [(3.0, 2.0)]
    assert problem.scalar((1.0, 1.0)) == pytest.approx(1.0)  # full marks are worth as much as on every row
    whole = TaskProblem(PartialTask(), {"prompt": "x", "bonus": 1.0}, AnswerFormat())
    assert whole.evaluate(["aab"]) == [(3.0, 1.0, 2.0)] and whole.w_star == PartialTask.w_star


def test_a_component_that_applies_to_some_answers_only_is_refused():
    class Fickle(PartialTask):
        def score(self, answer, row):
            return (1.0, None if answer == "a" else 1.0, 1.0)

    with pytest.raises(ValueError, match=r"components 1, 3 apply to an answer .* and 1, 2, 3 to others"):
        TaskProblem(Fickle(), ROW, AnswerFormat()).evaluate(["b", "a"])


def test_a_row_without_a_component_that_counts_is_refused():
    class Nothing(PartialTask):
        w_star = (0.0, 1.0, 0.0)

    with pytest.raises(ValueError, match="no component that w_star weighs applies"):
        TaskProblem(Nothing(), {"prompt": "x"}, AnswerFormat()).scalar((1.0, 1.0))
    Nothing.score = lambda self, answer, row: (None, None, None)
    with pytest.raises(ValueError, match="no component applies"):
        TaskProblem(Nothing(), {"prompt": "x"}, AnswerFormat()).evaluate(["a"])


def test_feedback_is_what_the_next_prompt_shows():
    problem = TaskProblem(
        LengthTask(), ROW, AnswerFormat(), feedback=lambda answer, row, vector: f"{answer} has {vector[0]} letters"
    )
    assert problem.evaluate(["ab"]) == [Evaluation(vector=(2.0, 2.0), artifact="ab has 2.0 letters")]


def test_answers_are_scored_at_the_same_time_where_the_task_allows_it():
    class Waiting(LengthTask):
        concurrency = 3
        barrier = threading.Barrier(3)

        def score(self, answer, row):
            self.barrier.wait(timeout=30)  # passes only if three threads are here at once
            return super().score(answer, row)

    assert TaskProblem(Waiting(), ROW, AnswerFormat()).evaluate(["a", "bb", "ccc"]) == [(1, 2), (2, 2), (3, 2)]


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
