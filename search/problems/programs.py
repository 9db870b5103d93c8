"""Candidates that are programs: run in the sandbox, scored here from the plain JSON that they return.

What a candidate says of its own score is never read: it returns the solution, such as points, and a function of this
process makes the score of it. A candidate never runs here, and nothing that it returns is more than numbers, texts,
lists and dicts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.each import raise_failures
from search.problems.shared_sandbox import failure, run_jobs
from search.records import Evaluation, Status
from search.seeds import stable_hash
from vpo.sandbox import Job, Limits, Result, Sandbox
from vpo.tasks.code.program import extract_program

ScoreValue = Callable[..., Any]
"""``score(value, *case)``: one number, or a sequence of them; ValueError where the value is no solution."""

_LIMITS = Limits(seconds=10.0)
_TWICE = "a program that depends on its arguments alone"


class ProgramEvaluator:
    """Runs candidates' code in the sandbox and scores what it returns; a function for `FunctionProblem`.

    A case that fails earns the floor; a program all of whose cases fail has the first one's status.

    Args:
        entry: Function that a candidate (or the harness) defines.
        score: ``score(value, *case)``, called here: a number, or several, for what ``entry(*case)`` returned, which is
            plain JSON of any form. A ValueError says that it is no solution; its text may enter prompts.
        cases: Arguments of each call, JSON values; each runs in a process of its own.
        components: Names of the rewards: as many for each case, in the order of the cases.
        turns: Lines that each case is handed one by one, each only when the one before was answered
            (`vpo.sandbox.dialogue`): what is to come is not in the sandbox. The score is then ``score(replies, lines,
            *case)``, with a reply for each line, and what ``entry`` returns is not looked at. None for no dialogue.
        num_repeated: Cases, drawn by the program's text, that run twice: a program whose results differ is invalid, as
            what it earns would not be a function of the program.
        harness: Python that stands below the candidate's program, if ``entry`` is yours and calls the candidate's. It
            shares a process with the candidate, which can change it: score what it returns as if the candidate had.
        floor: What a failed case earns in each of its components.
        limits: Of each case; by default 10 s, and `vpo.sandbox.Limits` for the rest.
        sandbox: Where to run; by default one that all problems of this process share.

    Attributes:
        components: Names of the rewards, case by case.

    Raises:
        ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        entry: str,
        score: ScoreValue,
        *,
        cases: Sequence[Sequence[Any]] = ((),),
        components: Sequence[str] | None = None,
        turns: Sequence[Sequence[str]] | None = None,
        num_repeated: int = 0,
        harness: str = "",
        floor: float = 0.0,
        limits: Limits | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        if not cases:
            raise ValueError("cases is empty: expected the arguments of one call at least. Write [[]] for none.")
        Job("", cases, entry, turns=turns)  # complains of a bad entry, case or turn
        self._cases = [list(case) for case in cases]
        default = ["score"] if len(self._cases) == 1 else [f"case_{i}" for i in range(1, len(self._cases) + 1)]
        self.components = tuple(components if components is not None else default)
        self._width, rest = divmod(len(self.components), len(self._cases))
        if rest or not self._width:
            raise ValueError(
                f"there are {len(self.components)} components and {len(self._cases)} cases: expected as many of them "
                "for each case."
            )
        self._entry, self._score, self._harness = entry, score, harness
        self._turns, self._num_repeated = turns, num_repeated
        self._floor = float(floor)
        self._limits, self._sandbox = limits or _LIMITS, sandbox

    def __call__(self, candidate: str) -> Evaluation:
        """Score one program."""
        return self.batch([candidate])[0]

    def batch(self, candidates: Sequence[str]) -> list[Evaluation]:
        """Score programs, at the same time as far as the sandbox has workers.

        Raises:
            InfrastructureError: A program could not be run, through no fault of its own.
        """
        return self.batch_some(candidates, [range(len(self.components))] * len(candidates))

    def batch_some(self, candidates: Sequence[str], components: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Score programs on some components; cases without any of them are not run.

        Args:
            candidates: The programs.
            components: For each, the numbers of components.

        Returns:
            For each, one reward a component, in that order.

        Raises:
            InfrastructureError: A program could not be run, through no fault of its own.
        """
        programs = [extract_program(each) if each.lstrip().startswith("```") else each for each in candidates]
        cases = [sorted({component // self._width for component in each}) for each in components]
        plans = [[*own, *self._repeated(program, own)] for program, own in zip(programs, cases, strict=True)]
        found = run_jobs([self._job(*each) for each in zip(programs, plans, strict=True)], self._sandbox)
        failures = [failure(results) for results in found]
        judged = [
            None if failed else self._judge(plan, wanted, results)
            for plan, wanted, results, failed in zip(plans, components, found, failures, strict=True)
        ]
        raise_failures(judged, failures)
        return [each for each in judged if each is not None]

    def _repeated(self, program: str, numbers: Sequence[int]) -> list[int]:
        """Cases to run a second time."""
        rng = random.Random(stable_hash("repeated", program))
        return rng.sample(list(numbers), min(self._num_repeated, len(numbers)))

    def _job(self, program: str, numbers: Sequence[int]) -> Job:
        cases = [self._cases[number] for number in numbers]
        turns = None if self._turns is None else [self._turns[number] for number in numbers]
        return Job(f"{program}\n\n{self._harness}", cases, self._entry, self._limits, turns)

    def _judge(self, plan: Sequence[int], components: Sequence[int], results: Sequence[Result]) -> Evaluation:
        """Score one program.

        Args:
            plan: Numbers of the cases that were run; some stand there twice.
            components: Rewards that are wanted.
            results: Of the cases.
        """
        numbers = sorted(set(plan))
        rewards: dict[int, float] = {}
        failures: list[tuple[Status, str]] = []
        for number, result in zip(numbers, results, strict=False):
            status, found, reason = self._reward(number, result)
            rewards.update(enumerate(found, start=number * self._width))
            if status != "ok":
                name = "" if len(self._cases) == 1 else f"{self.components[number * self._width]}: "
                failures.append((status, f"{name}{status}: {reason}"))
        floor = (self._floor,) * len(components)
        artifact = "\n".join(text for _, text in failures[:3])
        if len(failures) > 3:
            artifact += f"\n(and {len(failures) - 3} more cases failed)"
        if len(failures) == len(numbers):
            return Evaluation(vector=floor, status=failures[0][0], artifact=artifact)
        for number, again in zip(plan[len(numbers) :], results[len(numbers) :], strict=True):
            if _said(again) != _said(results[plan.index(number)]):
                reason = (
                    f"run twice on {self.components[number * self._width]}, it did not do the same: expected {_TWICE}"
                )
                return Evaluation(vector=floor, status="invalid", artifact=reason)
        return Evaluation(vector=tuple(rewards[component] for component in components), artifact=artifact)

    def _reward(self, number: int, result: Result) -> tuple[Status, list[float], str]:
        floor = [self._floor] * self._width
        if result.status != "ok":
            said = f"{result.detail}\n{result.stderr}" if result.stderr.strip() else result.detail
            return _STATUS[result.status], floor, said.strip()
        try:
            if self._turns is None:
                found = self._score(result.value, *self._cases[number])
            else:
                lines = self._turns[number]
                found = self._score(_replies(result, len(lines)), lines, *self._cases[number])
        except Exception as error:  # of what a candidate returned, plain JSON of any form
            return "invalid", floor, str(error) or type(error).__name__
        if isinstance(found, Mapping):
            found = [found[name] for name in self.components] if len(self._cases) == 1 else [*found.values()]
        rewards = [float(each) for each in (found if hasattr(found, "__len__") else (found,))]
        if len(rewards) != self._width:
            raise ValueError(
                f"score() gave {len(rewards)} numbers for a case: expected {self._width}. Name {len(rewards)} "
                "components for each case."
            )
        if not all(map(math.isfinite, rewards)):
            return "invalid", floor, f"its score is not finite: {rewards}"
        return "ok", rewards, ""


def _replies(result: Result, num: int) -> tuple[str, ...]:
    """A reply for each line.

    Raises:
        ValueError: There are not as many.
    """
    replies = result.replies[1:]  # the first says that it is ready
    if len(replies) != num:
        raise ValueError(f"it answered {len(replies)} of {num} lines")
    return replies


def _said(result: Result) -> tuple[Any, ...]:
    return result.status, result.value, result.replies


_STATUS: dict[str, Status] = {"invalid": "invalid", "error": "error", "timeout": "timeout", "oom": "oom"}
