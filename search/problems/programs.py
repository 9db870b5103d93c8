"""Candidates that are programs: run in the sandbox, scored here from the plain JSON that they return.

What a candidate says of its own score is never read: it returns the solution, such as points, and a function of this
process makes the score of it. A candidate never runs here, and nothing that it returns is more than numbers, texts,
lists and dicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.each import raise_failures
from search.problems.shared_sandbox import failure, run_jobs
from search.records import Evaluation, Status
from vpo.sandbox import Job, Limits, Result, Sandbox
from vpo.tasks.code.program import extract_program

ScoreValue = Callable[..., Any]
"""``score(value, *case)``: one number, or a sequence of them; ValueError where the value is no solution."""

_LIMITS = Limits(seconds=10.0)


class ProgramEvaluator:
    """Runs candidates' code in the sandbox and scores what it returns; a function for `FunctionProblem`.

    A case that fails earns the floor; a program all of whose cases fail has the first one's status.

    Args:
        entry: Function that a candidate (or the harness) defines.
        score: ``score(value, *case)``, called here: a number, or several, for what ``entry(*case)`` returned, which is
            plain JSON of any form. A ValueError says that it is no solution; its text may enter prompts.
        cases: Arguments of each call, JSON values; each runs in a process of its own.
        components: Names of the rewards: as many for each case, in the order of the cases.
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
        harness: str = "",
        floor: float = 0.0,
        limits: Limits | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        if not cases:
            raise ValueError("cases is empty: expected the arguments of one call at least. Write [[]] for none.")
        Job("", cases, entry)  # complains of a bad entry or case
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
        programs = [extract_program(each) if each.lstrip().startswith("```") else each for each in candidates]
        jobs = [
            Job(f"{each}\n\n{self._harness}", [*self._cases, *self.extra_cases(each)], self._entry, self._limits)
            for each in programs
        ]
        found = run_jobs(jobs, self._sandbox)
        failures = [failure(results) for results in found]
        judged = [
            None if failed else self._judge(program, results)
            for program, results, failed in zip(programs, found, failures, strict=True)
        ]
        raise_failures(judged, failures)
        return [each for each in judged if each is not None]

    def extra_cases(self, program: str) -> list[list[Any]]:
        """Further cases that a subclass wants run, for :meth:`check`; they earn nothing."""
        return []

    def check(self, program: str, results: Sequence[Result], extra: Sequence[Result]) -> str | None:
        """What makes the whole program invalid, though each case by itself may be right; None if nothing does.

        Args:
            program: The candidate.
            results: Of the cases, in order.
            extra: Of the program's extra cases, in order.
        """
        return None

    def _judge(self, program: str, results: Sequence[Result]) -> Evaluation:
        own, extra = results[: len(self._cases)], results[len(self._cases) :]
        vector: list[float] = []
        failures: list[tuple[Status, str]] = []
        for number, (case, result) in enumerate(zip(self._cases, own, strict=True)):
            status, rewards, reason = self._reward(case, result)
            vector += rewards
            if status != "ok":
                name = "" if len(self._cases) == 1 else f"{self.components[number * self._width]}: "
                failures.append((status, f"{name}{status}: {reason}"))
        floor = (self._floor,) * len(self.components)
        artifact = "\n".join(text for _, text in failures[:3])
        if len(failures) > 3:
            artifact += f"\n(and {len(failures) - 3} more cases failed)"
        if len(failures) == len(self._cases):
            return Evaluation(vector=floor, status=failures[0][0], artifact=artifact)
        objection = self.check(program, own, extra)
        if objection is not None:
            return Evaluation(vector=floor, status="invalid", artifact=objection)
        return Evaluation(vector=tuple(vector), artifact=artifact)

    def _reward(self, case: list[Any], result: Result) -> tuple[Status, list[float], str]:
        floor = [self._floor] * self._width
        if result.status != "ok":
            said = f"{result.detail}\n{result.stderr}" if result.stderr.strip() else result.detail
            return _STATUS[result.status], floor, said.strip()
        try:
            found = self._score(result.value, *case)
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


_STATUS: dict[str, Status] = {"invalid": "invalid", "error": "error", "timeout": "timeout", "oom": "oom"}
