"""The stages of a study and what each waits for; run as ``python -m vpo.cli.study.stages RUN_FOLDER STAGE``."""

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
    pools = [("base", settings.num_answers, False), ("base", 1, False), ("base", settings.num_answers, True)]
    pools += [(arm.name, arm.num_answers, shuffled) for arm in settings.arms for shuffled in (False, True)]
    result += [_pool(*pool) for pool in pools]
    if search:
        result += [_search("base", settings.num_answers)]
        result += [_search(arm.name, arm.num_answers) for arm in settings.arms]
    return result


def _training(name: str) -> Stage:
    def work(run: Path, settings: Settings) -> None:
        from vpo.cli.study.training import train_arm

        train_arm(run, settings, settings.arm(name))

    return Stage(f"train {name}", f"arms/{name}", ("warm start",), work)


def _pool(policy: str, num_answers: int, shuffled: bool) -> Stage:
    from vpo.cli.study.sampling import pool_name

    def work(run: Path, settings: Settings) -> None:
        from vpo.cli.study.sampling import draw_pool

        draw_pool(run, settings, policy, num_answers, shuffled)

    name = pool_name(policy, num_answers, shuffled)
    return Stage(f"sample {name}", f"pools/{name}", (_source(policy),), work)


def _search(policy: str, num_answers: int) -> Stage:
    def work(run: Path, settings: Settings) -> None:
        from vpo.cli.study.sampling import run_searches

        run_searches(run, settings, policy, num_answers)

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
    main(Path(sys.argv[1]), sys.argv[2])
