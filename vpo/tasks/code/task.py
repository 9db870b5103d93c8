"""Programming problems with a component for each test: LiveCodeBench, DeepCoder, HumanEval, MBPP.

The VPO paper's fifth domain (arXiv 2605.22817: trained on DeepCoder, tested on LiveCodeBench). Components ``test_1`` to
``test_N`` are 1 where the program passes that test; a problem with fewer has None for the rest, and test i of one
problem has nothing to do with test i of another. w* is uniform.

Programs are never run here: that is the ``runner``'s (`vpo.tasks.code.cases.Runner`), and nothing is scored without
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from vpo.answers import completion_text
from vpo.infrastructure import InfrastructureError
from vpo.per_answer import per_answer_of
from vpo.tasks.code.cases import PASSED, CodeTest, Runner, as_run, keep_small, read_tests, write_tests
from vpo.tasks.code.program import extract_program, program_label
from vpo.tasks.code.schemas import Problem, deepcoder, humaneval, livecodebench, mbpp
from vpo.tasks.own import find_object
from vpo.tasks.protocol import RewardFunc, Row, Vector, check_split
from vpo.tasks.rows import RowReader, hub_rows, local_rows, to_dataset

if TYPE_CHECKING:
    from datasets import Dataset

Source = Literal["deepcoder", "livecodebench", "humaneval", "mbpp"]
_READ: dict[str, Callable[[RowReader], Problem]] = {
    "deepcoder": deepcoder,
    "livecodebench": livecodebench,
    "humaneval": humaneval,
    "mbpp": mbpp,
}
_DEEPCODER_TRAINING = ("lcbv5", "primeintellect", "taco")
# Of contests, first day inclusive, last exclusive. The paper's test set for DeepCoder, and the released code's halves.
_WINDOWS = {
    ("deepcoder", "test"): ("2024-08-01", "2025-03-01"),
    ("livecodebench", "train"): ("", "2025-02-01"),
    ("livecodebench", "test"): ("2025-02-01", "2025-05-01"),
}


class RunnerError(RuntimeError):
    """The runner failed, not the program that it was to run."""


class RunnerLostError(RunnerError, InfrastructureError):
    """The runner could not run a program this time; a search tries again."""


@dataclass(frozen=True)
class CodeTask:
    """Problems with tests.

    The official files disagree about the data: the paper trains on DeepCoder and tests on LiveCodeBench's contests of
    August 2024 to February 2025 (``source="deepcoder"``); the code that was released trains and tests on LiveCodeBench,
    split at 1 February 2025 (``source="livecodebench"``).

    Args:
        source: Whose columns the rows have, and which data set is loaded without ``path``.
        path: Folder with ``train`` and ``test`` files, or one file: training rows; of HumanEval, which is for tests
            alone, test rows.
        runner: Runs programs: an object with ``run(code, tests)``, such a function, or the dotted name of either.
            Without one there are prompts, but no rewards.
        max_tests: N, tests of a problem that count: its smallest.
        max_test_bytes: Larger tests do not count, and problems that have no other are left out.
        concurrency: Programs that are with the runner at once.

    Raises:
        ValueError: An option is out of range, or the runner cannot be imported.
    """

    source: Source = "deepcoder"
    path: str | None = None
    runner: Runner | Callable[..., Any] | str | None = None
    max_tests: int = 16
    max_test_bytes: int = 8192
    concurrency: int = 8

    name = "code"
    tag = "solution"

    def __post_init__(self) -> None:
        if self.source not in _READ:
            raise ValueError(f"source is {self.source!r}: expected one of {', '.join(_READ)}.")
        if self.max_tests < 1 or self.max_test_bytes < 1:
            raise ValueError(
                f"max_tests is {self.max_tests} and max_test_bytes {self.max_test_bytes}: expected 1 or more of each."
            )
        if isinstance(self.runner, str):
            object.__setattr__(self, "runner", find_object(self.runner))

    @property
    def components(self) -> tuple[str, ...]:
        """test_1 to test_N."""
        return tuple(f"test_{i}" for i in range(1, self.max_tests + 1))

    @property
    def w_star(self) -> tuple[float, ...]:
        """Equal weights."""
        return (1 / self.max_tests,) * self.max_tests

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """Rows with ``prompt`` (one user message), ``tests`` (JSON) and ``solution``; see `Task.dataset`."""
        return to_dataset(self._rows(check_split(split)), self._convert, size, seed)

    def score(self, answer: str, row: Row) -> Vector:
        """Which tests the program of an answer passes.

        Raises:
            ValueError: There is no runner.
            RunnerError: The runner did not return a status for each test, or (`RunnerLostError`) failed.
        """
        tests = _tests(row["tests"])
        return (*self.score_some(answer, row, range(len(tests))), *[None] * (self.max_tests - len(tests)))

    def score_some(self, answer: str, row: Row, components: Sequence[int]) -> tuple[float, ...]:
        """The same on some of the row's tests; no other test is run.

        Args:
            answer: As for `score`.
            row: As for `score`.
            components: Numbers of tests that the row has, from 0.

        Returns:
            A reward for each, in that order.
        """
        run = self._run()
        every = _tests(row["tests"])
        tests = [every[component] for component in components]
        program = extract_program(answer)
        statuses = run(program, tests) if program and tests else ["invalid"] * len(tests)
        if len(statuses) != len(tests):
            raise RunnerError(f"the runner returned {len(statuses)} statuses for {len(tests)} tests: expected as many.")
        if "infra" in statuses:
            raise RunnerLostError(
                "the runner could not run a program, through no fault of the program's: expected it to try again until "
                "it can. Look at its log; a reward of 0 would be wrong."
            )
        return tuple(float(status == PASSED) for status in statuses)

    @property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all N components; without a runner an error, so that nothing is sampled in vain."""
        self._run()
        return [self._reward]

    def reference(self, row: Row) -> str | None:
        """The data's solution, where it has one."""
        return f"```python\n{row['solution']}\n```" if row["solution"] else None

    def label(self, answer: str, row: Row) -> str:
        """Which program it is, whatever its layout: answers of one label are duplicates."""
        return program_label(extract_program(answer))

    @cached_property
    def _reward(self) -> RewardFunc:
        def code_reward(prompt: Any, completion: Any, tests: str) -> Vector:
            return self.score(completion_text(completion), {"tests": tests})

        code_reward.components = self.components  # type: ignore[attr-defined]
        return per_answer_of(code_reward, self.concurrency)  # at once, and equal answers of a batch only once

    def _run(self) -> Callable[[str, Sequence[CodeTest]], Sequence[str]]:
        if self.runner is None:
            raise ValueError(
                "the code task has no runner: expected what runs programs away from this process. Give the option "
                "runner=, a function run(code, tests) that returns a status a test, or its dotted name."
            )
        return as_run(self.runner)  # type: ignore[arg-type]

    def _rows(self, split: str) -> Iterator[RowReader]:
        window = _WINDOWS.get((self.source, split))
        if self.path is not None:
            alone = (split == "train") != (self.source == "humaneval")
            return local_rows(self.path, (split,), alone)
        if self.source == "humaneval":
            if split == "train":
                raise ValueError("HumanEval has no training rows: it is for tests alone. Ask for the split 'test'.")
            return hub_rows("openai/openai_humaneval", split="test")
        if self.source == "mbpp":
            return hub_rows("google-research-datasets/mbpp", "full", split=split)
        if window is None:
            name = "agentica-org/DeepCoder-Preview-Dataset"
            return (row for subset in _DEEPCODER_TRAINING for row in hub_rows(name, subset, split="train"))
        # The revision is that of the data as Parquet; the main one is a script, which `datasets` runs no more.
        rows = hub_rows("livecodebench/code_generation_lite", split="test", revision="refs/pr/6")
        return (row for row in rows if window[0] <= str(row.values.get("contest_date"))[:10] < window[1])

    def _convert(self, row: RowReader) -> dict[str, Any] | None:
        read = _READ[self.source]
        if self.source == "deepcoder" and "question_content" in row.values:
            read = livecodebench  # what is tested on is another data set than what is trained on
        problem = read(row)
        tests = keep_small(problem.tests, self.max_tests, self.max_test_bytes)
        if not tests:
            return None
        message = {"role": "user", "content": _ask(problem)}
        return {"prompt": [message], "tests": write_tests(tests), "solution": problem.solution}


def _ask(problem: Problem) -> str:
    test = problem.tests[0]
    parts = [problem.text]
    if test.kind == "stdin":
        parts.append("Write a whole Python program that reads standard input and writes to standard output.")
    elif not problem.starter:
        parts.append(
            f"Write it in Python, as a function named {test.function}." if test.function else "Write it in Python."
        )
    if problem.starter:
        begin = "Start from this code, and give all of it" if problem.text else "Complete this code, and give all of it"
        parts.append(f"{begin}:\n```python\n{problem.starter.strip()}\n```")
    parts.append("Reason first. Put the code into a ```python block.")
    return "\n\n".join(filter(None, parts))


@lru_cache(maxsize=4096)
def _tests(text: str) -> tuple[CodeTest, ...]:
    return tuple(read_tests(text))
