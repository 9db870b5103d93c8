"""Which selection solves a puzzle whose tests pay all or nothing, if every one of them varies answers in the same way?

An answer fills 24 slots with one of 6 symbols. A test looks at 4 slots and passes if all four hold the symbols of a
hidden target, so tests contradict each other nowhere and one answer passes all; a draw passes one with probability
1/1296. The reward vector has one component a test, the scalar is the share of tests passed. No model: the "policy" is a
script that reads parent and inspiration off its prompt, crosses them (with probability 1/2, each slot from either
alike), and mutates each slot with probability 1/24. All procedures run through the real driver: 40 problems, 3000
answers each, rounds of 8. The evolutionary ones draw a quarter of their answers i.i.d.; best of n, revision, beam and
PUCT say themselves when to draw. Tournaments of 4 on the scalar are the textbook's scalar selection; they live here,
because the package has no use for them. Milliseconds are CPU time of everything, the driver and the script included.

The toy is that of the research notes. They name its sizes, but neither the length of a test nor the rates of mutation
and crossover. A length of 4 gives the i.i.d. draws the share of tests that the notes report (.12 with 16 tests), 3
gives twice that; the rates were chosen once, for all procedures.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from targets import Target, finish, parser

from search.archives import SignaturePopulation
from search.budget import Budget
from search.driver import run_search
from search.problem import Problem
from search.procedures import Procedure, get_procedure
from search.procedures.proposing import num_iid, valid, varied
from search.records import Candidate, Prompt, Proposal, Result, Sampling, SearchResult, Variation, Vector
from search.samplers import ScriptedSampler
from search.seeds import stable_hash

SLOTS, SYMBOLS, SLOTS_PER_TEST = 24, "abcdef", 4
CROSSOVER, MUTATION = 0.5, 1 / SLOTS
BATCH = 8


class SlotProblem:
    """Tests on a hidden target; ``number`` fixes both."""

    def __init__(self, num_tests: int, number: int) -> None:
        self.id = f"slots-{num_tests}-{number}"
        self.prompt: Prompt = ""
        self.num_answers = 1
        rng = random.Random(stable_hash(self.id))
        self._target = rng.choices(SYMBOLS, k=SLOTS)
        self._tests = [rng.sample(range(SLOTS), SLOTS_PER_TEST) for _ in range(num_tests)]

    def parse(self, text: str) -> list[str]:
        return [text]

    def evaluate(self, answers: Sequence[str]) -> list[Vector]:
        return [
            tuple(float(all(answer[slot] == self._target[slot] for slot in test)) for test in self._tests)
            for answer in answers
        ]

    def scalar(self, vector: Vector) -> float:
        return sum(vector) / len(vector)

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation:
        return Variation(prompt=" ".join([parent.answer, *(shown.answer for shown in inspirations)]))


def policy(prompt: Prompt, prefix: str, seed: int) -> str:
    """Cross and mutate what the prompt shows, or draw at random if it shows nothing."""
    rng = random.Random(seed)
    shown = str(prompt).split()
    if not shown:
        return "".join(rng.choices(SYMBOLS, k=SLOTS))
    child = list(shown[0])
    if len(shown) > 1 and rng.random() < CROSSOVER:
        child = [rng.choice(pair) for pair in zip(*shown, strict=True)]
    return "".join(rng.choice(SYMBOLS) if rng.random() < MUTATION else symbol for symbol in child)


class Tournament:
    """Parent and inspiration are the highest scalars of four random members each; the population is lexicase's."""

    def __init__(self, vary: Callable[..., Variation | None], size: int = 4, iid_share: float = 0.25) -> None:
        self.size, self.iid_share = size, iid_share
        self.population = SignaturePopulation(256)
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        members = self.population.members
        free = num_iid(self.iid_share, num, rng) if members else num
        proposals = [Proposal() for _ in range(free)]
        for _ in range(num - free):
            parent, shown = (max(rng.choices(members, k=self.size), key=lambda c: c.scalar) for _ in range(2))
            proposals.append(varied(self._vary, parent, [shown], rng))
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        for result in results:
            for candidate in valid(result):
                self.population.add(candidate)

    def describe(self) -> dict[str, Any]:
        return {"name": "tournament", "size": self.size, "iid_share": self.iid_share}


def named(name: str, **options: Any) -> Callable[[Problem], Procedure]:
    return lambda problem: get_procedure(name, problem, **options)


PROCEDURES: dict[str, Callable[[Problem], Procedure]] = {
    "best of n": named("best_of_n"),
    "revision": named("revision"),
    "beam": named("beam"),
    "PUCT": named("puct"),
    "tournament": lambda problem: Tournament(problem.vary),
    "Pareto specialists": named("pareto"),
    "Pareto front": named("pareto", parents="front"),
    "MAP-Elites": named("map_elites", num_islands=1),
    "MAP-Elites, 4 islands": named("map_elites", num_islands=4, migration_every=750),
    "signature islands": named("signature_islands", temperature_period=3000),
    "signatures, 1 island": named("signature_islands", num_islands=1, temperature_period=3000, reset_every=10**9),
    "dominated novelty": named("dominated_novelty"),
    "lexicase": named("lexicase"),
    "lexicase, 4 islands": named("lexicase", num_islands=4, migration_every=750),
    "lexicase, down-sampled": named("lexicase", down_sample=0.5),
    "lexicase, random inspiration": named("lexicase", inspiration="random"),
    "lexicase, lexicase inspiration": named("lexicase", inspiration="lexicase"),
    "lexicase, no inspiration": named("lexicase", num_inspirations=0),
}


def search(make: Callable[[Problem], Procedure], num_tests: int, num_problems: int, answers: int) -> list[SearchResult]:
    problems: list[Problem] = [SlotProblem(num_tests, number) for number in range(num_problems)]
    budget, sampling = Budget(max_answers=answers), Sampling(max_new_tokens=2)
    return run_search(problems, make, ScriptedSampler(policy), budget, batch=BATCH, sampling=sampling)


def summary(results: Sequence[SearchResult], seconds: float) -> dict[str, Any]:
    best = np.array([result.best[-1] for result in results])
    solved_after = [
        next((n for n, b in zip(result.answers, result.best, strict=True) if b == 1.0), None) for result in results
    ]
    num_answers = sum(result.answers[-1] for result in results)
    return {
        "problems": len(results),
        "solved": int((best == 1.0).sum()),
        "best": best.tolist(),
        "mean_best": float(best.mean()),
        "standard_error": float(best.std(ddof=1) / len(best) ** 0.5),
        "solved_after_answers": solved_after,
        "distinct_answers": float(np.mean([len({c.answer for c in r.candidates}) / r.answers[-1] for r in results])),
        "ms_per_answer": 1e3 * seconds / num_answers,
    }


def main() -> int:
    command = parser(__doc__ or "")
    command.add_argument("--only", nargs="*", choices=PROCEDURES, help="these procedures alone; writes no results")
    options = command.parse_args()
    num_problems, answers = (4, 400) if options.quick else (40, 3000)
    tables: dict[str, dict[str, Any]] = {}
    for num_tests in (16, 8):
        print(f"\n{num_tests} tests, {num_problems} problems, {answers} answers each")
        print(f"{'':32}{'share of tests':>20}{'solved':>9}{'distinct':>10}{'ms/answer':>11}")
        table: dict[str, Any] = {}
        for name, make in PROCEDURES.items():
            if options.only and name not in options.only:
                continue
            started = time.process_time()
            results = search(make, num_tests, num_problems, answers)
            found = summary(results, time.process_time() - started)
            table[name] = found
            print(
                f"{name:32}{found['mean_best']:12.3f} ± {found['standard_error']:.3f}{found['solved']:6}/{num_problems}"
                f"{found['distinct_answers']:10.3f}{found['ms_per_answer']:11.3f}",
                flush=True,
            )
        tables[f"{num_tests} tests"] = table
    if options.only:
        return 0

    lexicase, tournament = (tables["16 tests"][name] for name in ("lexicase", "tournament"))
    gains = np.subtract(lexicase["best"], tournament["best"])
    error = float(gains.std(ddof=1) / len(gains) ** 0.5)
    print(f"\nlexicase - tournament, 16 tests, same problems: {gains.mean():+.3f} ± {error:.3f}")
    slowest = max(found["ms_per_answer"] for table in tables.values() for found in table.values())
    targets = [
        Target("lexicase solved, share of problems with 16 tests", lexicase["solved"] / num_problems, 28 / 40),
        Target("lexicase - tournament, 16 tests, standard errors", float(gains.mean()) / error, 2),
        Target("slowest procedure, CPU ms per answer", slowest, 1, at_least=False),
    ]
    facts = {
        "slots": SLOTS,
        "symbols": len(SYMBOLS),
        "slots_per_test": SLOTS_PER_TEST,
        "crossover": CROSSOVER,
        "mutation": MUTATION,
        "answers": answers,
        "batch": BATCH,
        "lexicase_minus_tournament_16_tests": {"mean": float(gains.mean()), "standard_error": error},
    }
    return finish("slots", options.quick, {**facts, **tables}, targets)


if __name__ == "__main__":
    sys.exit(main())
