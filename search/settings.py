"""What a run's rows depend on, besides its problems, its procedure and its sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from search.budget import Budget, CountTokens, prompt_bound
from search.problem import Problem
from search.problem_run import ProblemRun
from search.procedures import Procedure
from search.records import Sampling
from search.screening.rules import Screening
from search.seeds import stable_hash


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run; see ``search.driver.run_search``.

    Raises:
        ValueError: A value makes no sense, or does not go with the mode.
    """

    budget: Budget
    batch: int
    seed: int
    sampling: Sampling
    mode: Literal["rounds", "stream"]
    ordered: bool = True
    overlap: bool = False
    target: float | None = None
    screen: Screening | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(
                f"batch is {self.batch}, expected at least 1: it is the number of requests per problem and round."
            )
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"target is {self.target}, expected a finite scalar: leave it out to spend the budget.")
        if self.mode == "rounds" and not self.ordered:
            raise ValueError(
                "ordered=False goes with a stream alone, and this sampler answers in rounds: leave it out, or take a "
                "sampler with `generate`."
            )
        if self.mode == "stream" and self.overlap:
            raise ValueError(
                "overlap=True goes with rounds alone: leave it out, in a stream evaluation overlaps generation anyway."
            )

    def make_runs(
        self, problems: Sequence[Problem], procedures: Sequence[Procedure], count_tokens: CountTokens | None
    ) -> list[ProblemRun]:
        """One run for each problem."""
        return [
            ProblemRun(
                problem,
                procedure,
                self.budget,
                sampling=self.sampling,
                run_seed=self.seed,
                count_tokens=count_tokens or prompt_bound,
                target=self.target,
                place=(index, len(problems)),
                screen=self.screen,
            )
            for index, (problem, procedure) in enumerate(zip(problems, procedures, strict=True))
        ]

    def identity(
        self,
        problems: Sequence[Problem],
        procedures: Sequence[Procedure],
        sampler: dict[str, Any],
        counted: bool,
    ) -> dict[str, Any]:
        """Everything that the rows of a ledger depend on and that can be named.

        Args:
            problems: The problems.
            procedures: Theirs, in the same order.
            sampler: What the sampler says of itself.
            counted: Whether it counts prompt tokens; else they are bounded.
        """
        described = [procedure.describe() for procedure in procedures]
        budget = {name: limit for name, limit in asdict(self.budget).items() if name != "max_seconds"}
        if self.budget.max_total_tokens is not None:
            budget["prompts"] = "counted" if counted else "bounded"
        return {
            "seed": self.seed,
            "batch": self.batch,
            "budget": budget,
            "sampling": asdict(self.sampling),
            "mode": self.mode,
            "ordered": self.ordered,
            "overlap": self.overlap,
            "target": self.target,
            **({} if self.screen is None else {"screen": self.screen.describe()}),
            "sampler": sampler,
            # One description if the problems share it, which they nearly always do
            "procedure": described[0] if all(d == described[0] for d in described) else described,
            "problems": [_describe(problem) for problem in problems],
        }

    @classmethod
    def from_identity(cls, config: Mapping[str, Any]) -> Settings:
        """Read the settings back from the header of a ledger; a limit of time is not in it."""
        limits = {name: limit for name, limit in config["budget"].items() if name != "prompts"}
        if all(limit is None for limit in limits.values()):
            limits["max_seconds"] = 1.0  # there was one; a replay does not look at the clock
        return cls(
            budget=Budget(**limits),
            batch=config["batch"],
            seed=config["seed"],
            sampling=Sampling(**config["sampling"]),
            mode=config["mode"],
            ordered=config["ordered"],
            overlap=config["overlap"],
            target=config["target"],
            screen=Screening(**config["screen"]) if "screen" in config else None,
        )


def check_problems(problems: Sequence[Problem]) -> None:
    """Refuse a list of problems that cannot be searched together.

    Raises:
        ValueError: There are none, ids repeat, or one has no room for an answer.
    """
    if not problems:
        raise ValueError("problems is empty, expected at least one: pass the problems to search.")
    ids = [problem.id for problem in problems]
    repeated = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if repeated:
        raise ValueError(
            f"problem ids {repeated[:5]} occur more than once, expected distinct ids (seeds and records hang on them): "
            "drop the repeats, or give TaskProblem an id."
        )
    for problem in problems:
        if problem.num_answers < 1:
            raise ValueError(
                f"problem {problem.id!r} has num_answers = {problem.num_answers}, expected at least 1: "
                "ask for one answer or more."
            )


def _describe(problem: Problem) -> dict[str, Any]:
    describe = getattr(problem, "describe", None)
    return {
        "id": problem.id,
        "prompt_hash": f"{stable_hash(problem.prompt):016x}",
        "num_answers": problem.num_answers,
        **({} if describe is None else {"about": describe()}),
    }
