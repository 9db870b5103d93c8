"""What does the search driver itself cost, and how many answers a second does a search evaluate beside OpenEvolve?

First, the driver: a sampler and an evaluator that take no time, a ledger on disk, and everything that is measured is
overhead (the scripted sampler's microseconds included). Per answer at one size and at a tenth of it, which tells
whether anything is quadratic. Resuming a finished run costs what reading and replaying it costs.

Second, OpenEvolve, if there is an environment that has it: the same evaluator, the same scripted model, the same number
of workers, alternating rounds. Once with a model and an evaluator that take no time, which is all overhead; once with
50 ms and 10 ms on eight slots, which is nearer to life and where the slots set the pace. Its start is not counted: the
rate is that from the tenth answer on, and the CPU time of an answer is what a long run took more than a short one. CPU
seconds hardly depend on what else the machine does.

    python -m venv /tmp/openevolve && /tmp/openevolve/bin/pip install openevolve
    python benchmarks/search_overhead.py --openevolve /tmp/openevolve/bin/python
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anchors import slots
from targets import Target, finish, parser

from search.budget import Budget
from search.driver import run_search
from search.problem import Problem
from search.procedures import BestOfN, Evolution, Procedure
from search.records import Candidate, Generation, Request, Sampling, Variation, Vector

ANCHOR = Path(__file__).parent / "anchors" / "openevolve_slots.py"
IN_FLIGHT = 16
LIFE = {"SLOTS_MODEL_S": 0.05, "SLOTS_EVALUATE_S": 0.01}
LIFE_SLOTS = 8

Make = Callable[[Problem], Procedure]
PROCEDURES: dict[str, Make] = {
    "best of n": lambda problem: BestOfN(),
    "evolution": lambda problem: Evolution(problem.vary),
}


class Slots:
    """The slots as a problem; a variation shows the parent, as OpenEvolve's prompts do."""

    def __init__(self, evaluate_s: float = 0.0) -> None:
        self.id, self.prompt, self.num_answers = "slots", "Write solve().", 1
        self._evaluate_s = evaluate_s

    def parse(self, text: str) -> list[str]:
        return [text]

    def evaluate(self, answers: Sequence[str]) -> list[Vector]:
        if self._evaluate_s:
            time.sleep(self._evaluate_s * len(answers))
        return [tuple(slots.score(answer)) for answer in answers]

    def scalar(self, vector: Vector) -> float:
        return sum(vector) / len(vector)

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation:
        return Variation(prompt=f"Write a better solve() than\n{parent.answer}It earns {parent.vector}.")


class Scripted:
    """Both kinds of sampler around the scripted model."""

    def __init__(self, model_s: float = 0.0) -> None:
        self._model_s = model_s

    def complete(self, request: Request) -> Generation:
        text = slots.program(random.Random(request.seed))
        return Generation(
            request_id=request.id, text=text, prompt_tokens=20, completion_tokens=20, finish_reason="stop"
        )


class Batches(Scripted):
    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        return [self.complete(request) for request in requests]


class Singles(Scripted):
    max_concurrency = IN_FLIGHT

    async def generate(self, request: Request) -> Generation:
        await asyncio.sleep(self._model_s)
        return self.complete(request)


def search(sampler: Any, make: Make, answers: int, folder: Path, problem: Slots | None = None, **options: Any) -> Any:
    return run_search(
        [problem or Slots()],
        make,
        sampler,
        Budget(max_answers=answers),
        batch=2 * IN_FLIGHT,
        sampling=Sampling(max_new_tokens=64),
        ledger_path=folder / "ledger.jsonl",
        **options,
    )


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def overhead(answers: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds an answer of every way to drive; medians over alternating rounds."""
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for kind, sampler in (("rounds", Batches()), ("stream", Singles())):
            for name, make in PROCEDURES.items():
                with tempfile.TemporaryDirectory() as folder:
                    run = lambda: search(sampler, make, answers, Path(folder))  # noqa: B023, E731 - called at once
                    whole, again = timed(run), timed(run)
                    size = (Path(folder) / "ledger.jsonl").stat().st_size
                way = found.setdefault(f"{kind}, {name}", {})
                figures = {"wall_ms": whole[0], "cpu_ms": whole[1], "resume_cpu_ms": again[1]}
                for key, seconds in figures.items():
                    way.setdefault(key, []).append(1e3 * seconds / answers)
                way.setdefault("ledger_bytes", []).append(size / answers)
    return {way: {key: statistics.median(each) for key, each in figures.items()} for way, figures in found.items()}


def rate(answers: int, workers: int, make: Make, model_s: float = 0.0, evaluate_s: float = 0.0) -> tuple[float, float]:
    """Answers a second, and a CPU second, of this driver as a stream."""
    with tempfile.TemporaryDirectory() as folder:
        problem, sampler = Slots(evaluate_s), Singles(model_s)
        in_flight = LIFE_SLOTS if model_s else IN_FLIGHT
        options: dict[str, Any] = {"evaluators": workers, "max_in_flight": in_flight, "problem": problem}
        seconds, cpu_s = timed(lambda: search(sampler, make, answers, Path(folder), **options))
    return answers / seconds, answers / cpu_s


def openevolve(python: str, answers: int, workers: int, life: dict[str, float]) -> dict[str, Any]:
    """What its side prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(ANCHOR), str(answers), str(workers), folder]
        environment = {**os.environ, **{key: str(value) for key, value in life.items()}}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200)
    if done.returncode:
        raise RuntimeError(f"OpenEvolve failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def why_skipped(python: str | None) -> str | None:
    """None if OpenEvolve is there."""
    if not python:
        return "no --openevolve PYTHON and no OPENEVOLVE_PYTHON: it needs an environment of its own"
    try:
        done = subprocess.run([python, "-c", "import openevolve"], capture_output=True, text=True)
    except OSError as error:
        return f"{python} cannot be run: {error}"
    return None if done.returncode == 0 else f"{python} has no openevolve: pip install openevolve there"


def main() -> int:
    arguments = parser(__doc__ or "")
    arguments.add_argument(
        "--openevolve",
        default=os.environ.get("OPENEVOLVE_PYTHON"),
        help="interpreter of an environment with OpenEvolve",
    )
    options = arguments.parse_args()
    quick = options.quick
    large, repeats, num_theirs = (1000, 1, 60) if quick else (10_000, 3, 300)
    small = large // 10
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]

    by_size = {size: overhead(size, repeats if size == large else 3 * repeats) for size in (small, large)}
    print(f"the driver's own cost; {cores} cores, load {load:.1f}")
    print(f"{'':24}{'answers':>9}{'wall ms':>9}{'CPU ms':>9}{'resume':>9}{'bytes':>8}   an answer")
    for size, ways in by_size.items():
        for way, figures in ways.items():
            shown = (figures["wall_ms"], figures["cpu_ms"], figures["resume_cpu_ms"])
            print(f"{way:24}{size:9}" + "".join(f"{each:9.3f}" for each in shown) + f"{figures['ledger_bytes']:8.0f}")
    growth = {way: by_size[large][way]["cpu_ms"] / by_size[small][way]["cpu_ms"] for way in by_size[large]}

    worst = {key: max(figures[key] for figures in by_size[large].values()) for key in ("wall_ms", "cpu_ms")}
    targets = [
        Target(f"driver, ms of wall an answer at {large}, worst way", worst["wall_ms"], 1, at_least=False),
        Target(f"driver, ms of CPU an answer at {large}, worst way", worst["cpu_ms"], 1, at_least=False),
        Target(f"driver, CPU an answer at {large} / at {small}, worst way", max(growth.values()), 1.5, at_least=False),
    ]
    results: dict[str, Any] = {"cores": cores, "load": load, "overhead": by_size, "growth": growth}
    reason = why_skipped(options.openevolve)
    if reason is not None:
        print(f"\nbeside OpenEvolve: skipped, {reason}")
        results["openevolve"] = {"skipped": reason}
        return finish("search_overhead", quick, results, targets)

    beside: dict[str, Any] = {}
    cases: dict[str, tuple[dict[str, float], int, int]] = {
        "no time": ({}, cores, large),
        "50 ms and 10 ms": (LIFE, LIFE_SLOTS, num_theirs * 4),
    }
    print(f"\n{'':24}{'workers':>9}{'OpenEvolve':>12}{'evolution':>11}{'best of n':>11}{'ratio':>8}   answers a second")
    for case, (life, workers, num_ours) in cases.items():
        theirs: list[tuple[float, float]] = []
        ours: dict[str, list[tuple[float, float]]] = {name: [] for name in PROCEDURES}
        seconds = (life.get("SLOTS_MODEL_S", 0.0), life.get("SLOTS_EVALUATE_S", 0.0))
        for _ in range(repeats):
            short = openevolve(options.openevolve, num_theirs // 3, workers, life)
            found = openevolve(options.openevolve, num_theirs, workers, life)
            more = found["answers"] - short["answers"]
            theirs.append((found["answers_per_second"], more / (found["cpu_s"] - short["cpu_s"])))
            for name, make in PROCEDURES.items():
                ours[name].append(rate(num_ours, workers, make, *seconds))
        beside[case] = {"workers": workers, "version": found["version"], "openevolve": theirs, **ours}
        for column, unit in enumerate(("second", "CPU second")):
            base = statistics.median(each[column] for each in theirs)
            medians = {name: statistics.median(each[column] for each in ours[name]) for name in ours}
            ratio = beside[case][f"ratio, {unit}"] = min(medians.values()) / base
            figures = (base, medians["evolution"], medians["best of n"])
            shown = "".join(f"{each:{width}.1f}" for each, width in zip(figures, (12, 11, 11), strict=True))
            print(f"{case + ', a ' + unit:28}{workers:5}{shown}{ratio:8.1f}")
    results["openevolve"] = beside
    for unit in ("second", "CPU second"):
        figure = beside["no time"][f"ratio, {unit}"]
        targets.append(Target(f"answers a {unit} / OpenEvolve's, worst way, no time", figure, 10))
    return finish("search_overhead", quick, results, targets)


if __name__ == "__main__":
    sys.exit(main())
