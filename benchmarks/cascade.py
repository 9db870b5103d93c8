"""How many tests does a cascade save on the code task, and what does it cost the search?

A scripted sampler writes programs for a problem with 16 tests: 70% pass none (a constant, a crash, no Python), 10% pass
one test alone, 8% a quarter, 6% half, 4% all but one, 2% all. Every program is another text, so nothing comes from the
cache. The search is best-of-n through the real driver and the code task, 60 answers for each of 40 problems, with the
same draws for every setting. Tests run are those that the task asks its runner for; each different program is run by
the real sandbox once, and remembered. Best so far is the mean over problems of the best scalar, averaged over the
answers; "as good" is the share of problems whose search ends with the same best as without a cascade. "Specialists
seen" is the share of the answers that pass one test alone for which the search knows it.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from targets import Target, finish, parser

from search.budget import Budget
from search.cascade import Cascade
from search.driver import run_search
from search.measures import area_under_best
from search.problem import Problem
from search.problems import get_problems
from search.procedures import BestOfN
from search.records import Candidate, Prompt, Sampling, SearchResult, Variation
from search.samplers import ScriptedSampler
from search.seeds import stable_hash
from vpo.sandbox import Limits, Sandbox
from vpo.tasks.code import CodeTest, sandboxed

TESTS = 16
# (share of draws, tests that such programs pass)
KINDS = ((0.70, 0), (0.10, 1), (0.08, 4), (0.06, 8), (0.04, 15), (0.02, 16))
FAILURES = ("print(7)", "raise SystemExit(1)", "print(int(input()")
SETTINGS: dict[str, dict[str, float] | None] = {
    "no cascade": None,
    "share 1/8, bar 0.2": {"share": 0.125, "bar": 0.2},
    "share 1/4, bar 0.2": {"share": 0.25, "bar": 0.2},
    "share 1/4, bar 0.5": {"share": 0.25, "bar": 0.5},
    "share 1/2, bar 0.2": {"share": 0.5, "bar": 0.2},
}


class Runner:
    """Counts the tests that it is asked for; runs each different one in the sandbox once."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.num_asked = box, 0
        self._known: dict[tuple[str, str], str] = {}

    def run(self, code: str, tests: Sequence[CodeTest]) -> list[str]:
        self.num_asked += len(tests)
        program = code.partition("  # ")[0]
        new = [test for test in tests if (program, test.input) not in self._known]
        if new:
            for test, status in zip(new, sandboxed.run_in(self.box, program, new), strict=True):
                self._known[program, test.input] = status
        return [self._known[program, test.input] for test in tests]


class Draws:
    """A problem that is asked afresh each time: the same draws for every setting."""

    def __init__(self, problem: Any, number: int) -> None:
        self.problem, self.id, self.prompt, self.num_answers = problem, f"square-{number}", f"problem {number}", 1
        self.num_components, self.evaluate_some = problem.num_components, problem.evaluate_some
        self.parse, self.evaluate, self.scalar = problem.parse, problem.evaluate, problem.scalar

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        return None


def write(prompt: Prompt, prefix: str, seed: int) -> str:
    """A program of one of the kinds; its comment makes it another text."""
    rng = random.Random(stable_hash(str(prompt), seed))
    (passes,) = rng.choices([num for _, num in KINDS], [share for share, _ in KINDS])
    if not passes:
        program = rng.choice(FAILURES)
    else:
        right = sorted(rng.sample(range(TESTS), passes))
        program = f"n = int(input())\nprint(n * n if n in {right} else -1)"
    return f"```python\n{program}  # {seed}\n```"


def search(runner: Runner, folder: str, options: dict[str, float] | None, num: int, answers: int) -> list[SearchResult]:
    (problem,) = get_problems("code", path=folder, num_answers=1, runner=runner, max_tests=TESTS)
    problems: list[Problem] = [Draws(problem, number) for number in range(num)]
    if options is not None:
        problems = [Cascade(each, **options) for each in problems]
    sampling = Sampling(max_new_tokens=64)
    budget = Budget(max_answers=answers)
    return run_search(problems, lambda _: BestOfN(), ScriptedSampler(write), budget, batch=8, sampling=sampling)


def seen(results: Sequence[SearchResult], specialists: set[str]) -> float:
    """Share of the answers that pass one test alone whose vector says so."""
    found = [any(c.vector) for result in results for c in result.candidates if c.answer in specialists]
    return float(np.mean(found))


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    num, answers = (4, 20) if options.quick else (40, 60)
    rows = [{"input": f"{n}\n", "output": f"{n * n}\n"} for n in range(TESTS)]
    table: dict[str, dict[str, Any]] = {}
    plain: list[SearchResult] = []
    specialists: set[str] = set()
    print(f"{'':22}{'tests run':>12}{'of all':>9}{'best so far':>13}{'as good':>9}{'specialists seen':>18}")
    with tempfile.TemporaryDirectory() as folder, Sandbox(2, Limits(seconds=10.0), preload=()) as box:
        content = [{"problem": "Square a number.", "tests": json.dumps(rows), "solutions": []}]
        (Path(folder) / "test.json").write_text(json.dumps(content))
        runner = Runner(box)
        for name, setting in SETTINGS.items():
            before = runner.num_asked
            results = search(runner, folder, setting, num, answers)
            if setting is None:
                plain = results
                every = [candidate for result in results for candidate in result.candidates]
                specialists = {candidate.answer for candidate in every if sum(candidate.vector) == 1}
            ran = runner.num_asked - before
            table[name] = {
                "tests_run": ran,
                "share_of_tests": ran / (num * answers * TESTS),
                "best_so_far": float(np.mean([area_under_best(each, answers, "answers") for each in results])),
                "as_good": float(np.mean([a.best[-1] == b.best[-1] for a, b in zip(results, plain, strict=True)])),
                "specialists_seen": seen(results, specialists),
            }
            each = table[name]
            print(
                f"{name:22}{ran:12,}{each['share_of_tests']:9.3f}{each['best_so_far']:13.3f}{each['as_good']:9.3f}"
                f"{each['specialists_seen']:18.3f}",
                flush=True,
            )
    chosen = table["share 1/4, bar 0.2"]
    targets = [
        Target("share 1/4, bar 0.2: tests run, of all", chosen["share_of_tests"], 0.5, at_least=False),
        Target("share 1/4, bar 0.2: problems that end as good", chosen["as_good"], 0.95),
    ]
    facts = {"tests": TESTS, "problems": num, "answers": answers, "kinds": KINDS, "settings": table}
    return finish("cascade", options.quick, facts, targets)


if __name__ == "__main__":
    raise SystemExit(main())
