"""A comparison of searches without a model; run as a script, it can kill itself: FOLDER, COUNTDOWN.

The process dies by SIGKILL inside the countdown-th call of a sampler; 0 lets it live. Every request that was sampled is
logged in ``sampled.txt``, with the seed of its run.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from search.problem import Problem
from search.samplers import Sampler
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler
from vpo.cli.search_compare import policies, runs
from vpo.cli.search_compare.config import Config, Policy, config_of

RAW = {
    "problems": {"name": "toy", "count": 4},
    "policies": {
        "single": {"model": "any", "problem_options": {"num_answers": 1}, "max_new_tokens": 6},
        "sets": "any",
    },
    "procedures": {"evolution": None, "eager": {"procedure": "evolution", "iid_share": 0.0}},
    "seeds": [3, 5],
    "budget": 240,
    "max_new_tokens": 20,
    "targets": [0.5, 1.0, "best_of_n"],
}


def toy_config(out: Path, **changes: object) -> Config:
    return config_of({**RAW, **changes}, out)


class Logged:
    """A toy sampler that writes down what it is asked, and may be the death of its process."""

    left = 0

    def __init__(self, sampler: Sampler, name: str, folder: Path | None) -> None:
        self.sampler, self.name, self.folder = sampler, name, folder

    def sample(self, requests):
        Logged.left -= 1
        if Logged.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.folder is not None:
            with (self.folder / "sampled.txt").open("a") as log:
                log.writelines(
                    f"{self.name}\t{request.prompt}\t{request.prefix}\t{request.seed}\n" for request in requests
                )
        return self.sampler.sample(requests)

    def describe(self):
        return {"name": self.name}


def toy_source(name: str, **options: int) -> list[Problem]:
    return [*toy_problems(8, num_answers=options.get("num_answers", 3))]


def use_toys(folder: Path | None = None, replace=setattr) -> None:
    """Put the toy problem and a random policy in place of problems and models."""

    def open_toy(policy: Policy, seed: int, batch_size: int) -> Logged:
        problem = ToyProblem("any", num_answers=policy.problem_options.get("num_answers", 3))
        return Logged(toy_sampler(problem), f"{policy.name} {policies.model_of(policy, seed)}", folder)

    replace(runs, "get_problems", toy_source)
    replace(runs, "open_policy", open_toy)


if __name__ == "__main__":
    from vpo.cli.search_compare.command import compare_searches

    place, Logged.left = Path(sys.argv[1]), int(sys.argv[2])
    use_toys(place)
    compare_searches(toy_config(place), "toy")
