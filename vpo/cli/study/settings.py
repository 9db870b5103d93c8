"""Sizes of a study. Two studies with the same settings and seed are the same study."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vpo.tasks import get_task


@dataclass(frozen=True)
class Arm:
    """One way to train: an objective and the number of answers in a completion.

    Args:
        name: Shown in tables; also the arm's folder.
        objective: ``VPOConfig.objective``.
        num_answers: m.
        options: ``VPOConfig.objective_options``.
        config: Further fields of ``VPOConfig``, such as ``{"answer_credit": "gain"}``.
    """

    name: str
    objective: str
    num_answers: int
    options: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


GRPO = Arm("GRPO", "grpo", 1)
VPO = Arm("VPO", "vpo", 3)
SUM = Arm("multi-answer sum", "multi_rlvr", 3, {"aggregation": "sum"})


@dataclass(frozen=True)
class Settings:
    """What a study runs.

    Args:
        seed: Seed of everything that is drawn.
        arms: Ways to train from the same warm start.
        num_answers: m of the multi-answer arms.
        warm_start_steps: Supervised steps of ``warm_start_batch`` completions.
        train_examples: Examples of the warm start.
        generated_tokens: Completion tokens that every arm may generate in reinforcement learning.
        prompts_per_step: Examples in a step.
        answers_per_prompt: Size of a group, counted in answers: G = answers_per_prompt / m.
        learning_rate: Of reinforcement learning, constant after 10 steps.
        look_every: Steps that a look at the rollout log takes together.
        eval_examples: Held-out examples of the pools.
        pool_answers: Answers drawn for each of them.
        search_examples: Held-out examples that search runs on.
        search_tokens: Completion tokens that a search may generate for one of them.
        task_name: A task of :class:`~vpo.tasks.tiny_task.TinyTask`'s kind.
        task_options: Its options.
    """

    seed: int = 0
    arms: tuple[Arm, ...] = (GRPO, VPO)
    num_answers: int = 3
    warm_start_steps: int = 900
    warm_start_batch: int = 32
    warm_start_lr: float = 3e-3
    train_examples: int = 4000
    generated_tokens: int = 400_000
    prompts_per_step: int = 12
    answers_per_prompt: int = 24
    learning_rate: float = 5e-4
    look_every: int = 10
    eval_examples: int = 100
    pool_answers: int = 30
    search_examples: int = 30
    search_tokens: int = 1200
    task_name: str = "maze"
    task_options: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Any:
        """The task; its examples are the same for every seed, so that seeds differ in training alone."""
        return get_task(self.task_name, **self.task_options)

    def arm(self, name: str) -> Arm:
        """The arm called ``name``."""
        return next(arm for arm in self.arms if arm.name == name)

    def fingerprint(self) -> str:
        """Hash of all settings but the arms; a folder made with others cannot be continued."""
        shared = {name: value for name, value in asdict(self).items() if name != "arms"}
        return hashlib.blake2b(json.dumps(shared, sort_keys=True).encode(), digest_size=8).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``settings.json``, or check that the one that is there is the same; arms may be added to it.

        Raises:
            ValueError: The folder belongs to a study with other settings, or an arm's name to another arm.
        """
        path = folder / "settings.json"
        arms = {arm.name: arm for arm in self.arms}
        if path.exists():
            try:
                noted, found = json.loads(path.read_text())["fingerprint"], Settings.load(folder)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} cannot be read ({error}): pass --fresh to start over.") from error
            # The stages read the settings, not the fingerprint: one beside other settings, which may name code, is none
            if noted != self.fingerprint() or found.fingerprint() != noted:
                raise ValueError(
                    f"{folder} holds a study with other settings (seed, size or version): expected the same to "
                    "continue it. Choose another --out, or pass --fresh to start over."
                )
            there = {arm.name: found.arm(arm.name) for arm in found.arms}  # of two with one name, the one that is run
            if changed := [name for name in arms if name in there and there[name] != arms[name]]:
                raise ValueError(
                    f"{folder} holds an arm {changed[0]!r} with other options: expected the same under the same name. "
                    "Choose another --out, or pass --fresh to start over."
                )
            if arms.keys() <= there.keys():
                return
            arms = {**there, **arms}
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name("settings.json.tmp")
        content = {"fingerprint": self.fingerprint(), **asdict(self), "arms": [asdict(arm) for arm in arms.values()]}
        temporary.write_text(json.dumps(content, indent=2))
        os.replace(temporary, path)

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """Read ``settings.json``."""
        data = json.loads((folder / "settings.json").read_text())
        del data["fingerprint"]
        data["arms"] = tuple(Arm(**arm) for arm in data["arms"])
        return cls(**data)


QUICK: dict[str, Any] = {
    "warm_start_steps": 30,
    "train_examples": 200,
    "generated_tokens": 8_000,
    "prompts_per_step": 4,
    "look_every": 2,
    "eval_examples": 8,
    "pool_answers": 6,
    "search_examples": 3,
    "search_tokens": 200,
}
