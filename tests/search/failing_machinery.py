"""Problems and samplers whose machinery fails when it is told to; and a run that is killed while it waits."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

from search.budget import Budget
from search.driver import run_search
from search.procedures import Evolution
from search.records import Sampling
from search.retry import Backoff
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_sampler
from vpo.infrastructure import InfrastructureError

AT_ONCE = Backoff(max_retries=6, first_s=0.0, longest_s=0.0)


class Flaky(ToyProblem):
    """The toy; ``fails(answer, tries so far)`` says whether machinery fails on an answer, and others are not lost."""

    def __init__(self, name="toy-0", fails=lambda answer, tries: False, log=None, keeps=True):
        super().__init__(name)
        self.fails, self.log, self.keeps = fails, log, keeps
        self.tries: Counter[str] = Counter()
        self.lock = threading.Lock()

    def evaluate(self, answers):
        found, failed = [], None
        for answer in answers:
            with self.lock:
                number = self.tries[answer]
                self.tries[answer] += 1
            if self.fails(answer, number):
                failed = f"the worker of {answer!r} was lost."
                found.append(None)
                continue
            self.evaluated.append(answer)
            if self.log is not None:
                with self.log.open("a") as file:
                    file.write(f"{answer}\n")
            found.append(self.score(answer))
        if failed:
            raise InfrastructureError(failed, found if self.keeps else ())
        return found


def search(problem, *, driver="stream", path=None, retry=AT_ONCE, sampler=None, answers=60, **options):
    """A small search; ``driver`` is "rounds", "overlap" or "stream"."""
    scripted = toy_sampler(ToyProblem("toy-0"))
    if sampler is None:
        sampler = StreamingScript(scripted, disorder=0) if driver == "stream" else scripted
    options |= {"overlap": True} if driver == "overlap" else {}
    return run_search(
        [problem],
        lambda p: Evolution(p.vary),
        sampler,
        Budget(max_answers=answers),
        batch=4,
        sampling=Sampling(max_new_tokens=20),
        ledger_path=path,
        retry=retry,
        **options,
    )


def die_while_waiting(folder: Path, driver: str) -> None:
    """A search that fails for ever on some answers, and is killed some time after the wait for the next try began."""
    problem = Flaky(fails=lambda answer, _: answer.startswith("2"), log=folder / "evaluated.txt")
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGKILL)).start()

    class Patient(Backoff):
        def wait_s(self, attempt, retry_after_s, rng):
            return 60.0

    search(problem, driver=driver, path=folder / "run.jsonl", retry=Patient())


if __name__ == "__main__":
    die_while_waiting(Path(sys.argv[1]), sys.argv[2])
