"""What is trained: the settings are the recipes' (`recipes/echo_chamber`), and the controls are changes of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from echo.by_format import ByFormatTask
from echo.coin import CoinTask
from vpo.tasks.format_mixture import FormatMixtureTask

RECIPES = Path(__file__).parents[2] / "recipes" / "echo_chamber"
# Keys of a recipe that are not VPOConfig's.
SCRIPT_KEYS = ("task", "task_options", "task_rows", "model_name_or_path")
# Where a run of the study differs from `vpo train`: it may be killed, and says nothing.
QUIET = {"report_to": "none", "disable_tqdm": True, "logging_steps": 1}
QUICK_ARM = {"task_rows": 16, "per_device_train_batch_size": 24, "num_generations": 6, "warmup_steps": 1}
QUICK_BASE = {"steps": 30, "rows": 200, "panel_prompts": 6, "panel_answers": 6}


@dataclass(frozen=True)
class Arm:
    """One way to train from the base.

    Attributes:
        name: In tables, and of its folder.
        recipe: File of `recipes/echo_chamber`.
        changes: Of the recipe, for controls.
        coin: Pay by a coin instead of by what is right.
        by_format: Tell the formats apart in the vector.
    """

    name: str
    recipe: str
    changes: dict[str, Any] = field(default_factory=dict)
    coin: bool = False
    by_format: bool = False


NULL = Arm("base, resampled", "grpo", {"learning_rate": 0.0})
COIN = Arm("GRPO, random reward", "grpo", coin=True)
NAMED = Arm("VPO, formats paid", "vpo", by_format=True)
GRPO = Arm("GRPO", "grpo")
WEAK = (GRPO, Arm("GRPO, KL 1e-3", "grpo_kl_0.001"))
STRONGER = tuple(Arm(f"GRPO, KL {said}", f"grpo_kl_{beta}") for said, beta in (("1e-2", 0.01), ("1e-1", 0.1), ("1", 1)))
VPO = Arm("VPO", "vpo")
SETS = (VPO, Arm("VPO, correct only", "vpo_correct"), Arm("multi-answer sum", "multi_answer_sum"))
ARMS = (GRPO, VPO, *WEAK[1:], *STRONGER, *SETS[1:], NAMED, NULL, COIN)
QUICK_ARMS = (GRPO, VPO)


@dataclass(frozen=True)
class Plan:
    """One seed's study.

    Attributes:
        seed: Of everything that is drawn; the word problems are the same for all seeds.
        quick: Sizes that show nothing but that it runs.
    """

    seed: int
    quick: bool = False

    @cached_property
    def base(self) -> dict[str, Any]:
        """Settings of the warm start and of the panel, ``base.yaml``."""
        return {**_read("base"), **(QUICK_BASE if self.quick else {})}

    @cached_property
    def task(self) -> FormatMixtureTask:
        """The teacher's task, from which held-out problems are taken as well."""
        return FormatMixtureTask(**self.base["task_options"])

    def recipe(self, arm: Arm) -> dict[str, Any]:
        """All settings of an arm."""
        found = {**_read(arm.recipe), **arm.changes}
        if self.quick:
            small = {**QUICK_ARM, "num_generations": QUICK_ARM["num_generations"] // found["num_answers"]}
            small["per_device_train_batch_size"] = QUICK_ARM["per_device_train_batch_size"] // found["num_answers"]
            found = {**found, **small}
        return found

    def arm_task(self, arm: Arm) -> FormatMixtureTask:
        """The task an arm is trained on."""
        kind = CoinTask if arm.coin else ByFormatTask if arm.by_format else FormatMixtureTask
        return kind(**self.recipe(arm)["task_options"])

    def looks(self, arm: Arm) -> int:
        """Steps of one pass over the prompts."""
        recipe = self.recipe(arm)
        return recipe["task_rows"] * recipe["num_generations"] // recipe["per_device_train_batch_size"]

    def fingerprint(self, arm: Arm | None) -> str:
        """Hash of all that a result rests on: of an arm, or of the base."""
        settings = {"seed": self.seed, "base": self.base, "arm": self.recipe(arm) if arm else None}
        if arm and arm.by_format:
            settings["by_format"] = True
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
