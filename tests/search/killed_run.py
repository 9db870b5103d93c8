"""A search that kills itself: run as a script by test_kill_and_resume. Arguments: folder, moment, countdown.

Moments: "sampling" and "evaluating" die inside the call; "torn" dies with half a line written; "written" dies right
after a whole line. The process dies by SIGKILL at the countdown-th such moment; a countdown of 0 lets it live.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from search.budget import Budget
from search.driver import run_search
from search.ledger import Ledger
from search.procedures import Evolution
from search.records import Sampling
from tests.search.toy_problem import ToyProblem, toy_sampler


def main(folder: Path, moment: str, countdown: int) -> None:
    left = countdown

    def is_time(now: str) -> bool:
        nonlocal left
        left -= now == moment
        return now == moment and left == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    class LoggedProblem(ToyProblem):
        def evaluate(self, answers):
            if is_time("evaluating"):
                die()
            with (folder / "evaluated.txt").open("a") as log:
                log.writelines(f"{self.id}\t{answer}\n" for answer in answers)
            return super().evaluate(answers)

    class MortalSampler:
        def __init__(self, problem):
            self.sampler = toy_sampler(problem)

        def sample(self, requests):
            if is_time("sampling"):
                die()
            return self.sampler.sample(requests)

        def describe(self):
            return {"name": "mortal"}

    write = Ledger.append

    def append(self, row):
        if is_time("torn"):
            line = json.dumps(row).encode()
            os.write(self._fd, line[: len(line) // 2])
            die()
        write(self, row)
        if is_time("written"):
            die()

    Ledger.append = append  # type: ignore[method-assign]
    problems = [LoggedProblem(f"toy-{i}") for i in range(3)]
    run_search(
        problems,
        lambda problem: Evolution(problem.vary),
        MortalSampler(problems[0]),
        Budget(max_answers=60),
        batch=4,
        sampling=Sampling(max_new_tokens=20),
        ledger_path=folder / "run.jsonl",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
