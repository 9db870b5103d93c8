"""Searches that kill themselves: run as a script by test_kill_and_resume.

Reads lives from stdin, one JSON object a line: folder, driver, moment, countdown. Forks for each, so that many lives
cost one start of the interpreter, and answers with the exit status.

Drivers: "rounds", "overlap", "ordered", "unordered" (both streams), "solving" (an ordered stream with a target); and
with a screen before the evaluation, which is switched on and off, "screened" (overlapping rounds), "screened stream".
Moments: "sampling" and "evaluating" die inside the call; "torn" dies with half a line written; "written" dies right
after a whole line. A life ends by SIGKILL at the countdown-th such moment; a countdown of 0 lets it live.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from search.budget import Budget
from search.driver import run_search
from search.ledger import Ledger, _dump
from search.procedures import Evolution
from search.records import Sampling
from search.screening import Screening
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_sampler

SCREEN = Screening(
    share=0.3,
    audit=0.5,
    tolerance=0.02,
    least_skill=0.95,
    error=0.99,
    warm_up=4,
    trusted=True,
    predictor="tests.search.screening.predictors:SlotMeans",
)
IN_ROUNDS = ("rounds", "overlap", "screened")
OPTIONS = {
    "rounds": {},
    "overlap": {"overlap": True, "evaluators": 2},
    "ordered": {"evaluators": 2},
    "unordered": {"ordered": False, "evaluators": 2},
    "solving": {"target": 1.0},
    "screened": {"overlap": True, "evaluators": 2, "screen": SCREEN},
    "screened stream": {"evaluators": 2, "screen": SCREEN},
}


def live(folder: Path, driver: str, moment: str, countdown: int) -> None:
    left = countdown

    def is_time(now: str) -> bool:
        nonlocal left
        left -= now == moment
        return now == moment and left == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def note(file: str, *lines: str) -> None:
        with (folder / file).open("a") as log:
            log.writelines(f"{line}\n" for line in lines)

    class LoggedProblem(ToyProblem):
        def evaluate(self, answers):
            if is_time("evaluating"):
                die()
            note("evaluated.txt", *(f"{self.id}\t{answer}" for answer in answers))
            return super().evaluate(answers)

    class MortalSampler:
        def __init__(self, problem):
            self.sampler = toy_sampler(problem)

        def sample(self, requests):
            if is_time("sampling"):
                die()
            note("sent.txt", *(str(request.seed) for request in requests))
            return self.sampler.sample(requests)

        def describe(self):
            return {"name": "mortal"}

    def before(request):
        if is_time("sampling"):
            die()
        note("sent.txt", str(request.seed))

    write = Ledger.append

    def append(self, row):
        if is_time("torn"):
            line = _dump(row).encode()
            with self._writing:  # another thread must not write on behind the half line while the signal is on its way
                os.write(self._fd, line[: len(line) // 2])
                die()
        write(self, row)
        if is_time("written"):
            die()

    Ledger.append = append  # type: ignore[method-assign]
    problems = [LoggedProblem(f"toy-{i}") for i in range(3)]
    if driver in IN_ROUNDS:
        sampler = MortalSampler(problems[0])
    else:
        # Every life has an order of arrival of its own
        sampler = StreamingScript(toy_sampler(problems[0]), disorder=os.getpid(), before=before)
    run_search(
        problems,
        lambda problem: Evolution(problem.vary),
        sampler,
        Budget(max_answers=60),
        batch=4,
        sampling=Sampling(max_new_tokens=20),
        ledger_path=folder / "run.jsonl",
        **OPTIONS[driver],
    )


def main() -> None:
    for line in sys.stdin:
        life = json.loads(line)
        child = os.fork()
        if not child:
            try:
                live(Path(life["folder"]), life["driver"], life["moment"], life["countdown"])
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
