"""The stages of a study and what each waits for; run as ``python -m vpo.cli.study.stages FOLDER STAGE RUNNER_PID``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vpo.cli.study.settings import Settings


@dataclass(frozen=True)
class Stage:
    """One piece of work with a folder of its own.

    Args:
        name: Shown beside the progress bar, and used on the command line.
        folder: Relative to the run; ``done.json`` in it marks the end.
        needs: Names of the stages that must be done before.
        work: What to do.
    """

    name: str
    folder: str
    needs: tuple[str, ...]
    work: Callable[[Path, Settings], None]

    def is_done(self, run: Path) -> bool:
        """Whether this stage's result is there."""
        return (run / self.folder / "done.json").exists()


def stages_of(settings: Settings, search: bool = True) -> list[Stage]:
    """All stages, each after those that it needs; ``search=False`` leaves search out."""

    def warm(run: Path, s: Settings) -> None:
        from vpo.cli.study.training import warm_start

        warm_start(run, s)

    result = [Stage("warm start", "warm_start", (), warm)]
    result += [_training(arm.name) for arm in settings.arms]
    policies = ["base", *(arm.name for arm in settings.arms)]
    result += [_sampling(policy) for policy in policies]
    if search:
        result += [_search(policy) for policy in policies]
    return result


def _training(name: str) -> Stage:
    def work(run: Path, settings: Settings) -> None:
        from vpo.cli.study.training import train_arm

        train_arm(run, settings, settings.arm(name))

    return Stage(f"train {name}", f"arms/{name}", ("warm start",), work)


def _sampling(policy: str) -> Stage:
    def work(run: Path, settings: Settings) -> None:
        from vpo.cli.study.sampling import draw_pools

        draw_pools(run, settings, policy)

    return Stage(f"sample {policy}", f"pools/{policy}", (_source(policy),), work)


def _search(policy: str) -> Stage:
    def work(run: Path, settings: Settings) -> None:
        from vpo.cli.study.sampling import run_searches

        run_searches(run, settings, policy)

    return Stage(f"search with {policy}", f"search/{policy}", (_source(policy),), work)


def _source(policy: str) -> str:
    return "warm start" if policy == "base" else f"train {policy}"


def main(run: Path, name: str) -> None:
    """Do one stage in this process.

    Raises:
        ValueError: No stage has that name.
    """
    import torch

    import vpo.looped  # noqa: F401 - registers looped policies with AutoModelForCausalLM

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    settings = Settings.load(run)
    known = {stage.name: stage for stage in stages_of(settings)}
    if name not in known:
        raise ValueError(f"there is no stage {name!r}: expected one of {', '.join(known)}.")
    known[name].work(run, settings)


if __name__ == "__main__":
    from trainers.end_with import end_with

    end_with(int(sys.argv[3]))
    main(Path(sys.argv[1]), sys.argv[2])
