"""The arms of a comparison: what each objective changes in a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What belongs to an objective: an arm starts from the defaults of these, not from what the recipe chose for its own.
_OF_AN_OBJECTIVE = (
    "objective",
    "objective_options",
    "diversity",
    "diversity_options",
    "answer_credit",
    "answer_credit_share",
    "alpha",
    "weighting",
    "weighting_method",
    "weighting_center",
)
_SINGLE: dict[str, Any] = {"num_answers": 1}

ARMS: dict[str, dict[str, Any]] = {
    "grpo": {"objective": "grpo", **_SINGLE},
    "dr_grpo": {"objective": "dr_grpo", "loss_type": "dr_grpo", **_SINGLE},
    "gdpo": {"objective": "gdpo", **_SINGLE},
    "maxrl": {"objective": "maxrl", **_SINGLE},
    "random_weighting": {"objective": "random_weighting", **_SINGLE},
    "max_at_k": {"objective": "max_at_k", **_SINGLE},
    "pass_at_k": {"objective": "pass_at_k", **_SINGLE},
    "darling": {"objective": "grpo", "diversity": "darling", **_SINGLE},
    "unlikeliness": {"objective": "grpo", "diversity": "unlikeliness", **_SINGLE},
    "batch_exploration": {"objective": "grpo", "diversity": "batch_exploration", **_SINGLE},
    "multi_rlvr": {"objective": "multi_rlvr"},
    "multi_rlvr_max": {"objective": "multi_rlvr", "objective_options": {"aggregation": "max"}},
    "multi_rlvr_any": {"objective": "multi_rlvr", "objective_options": {"aggregation": "any"}},
    "vpo": {"objective": "vpo"},
}
RECIPE = "recipe"  # the recipe as it stands


def read_arms(names: Iterable[str], file: Path | None) -> dict[str, dict[str, Any] | None]:
    """The arms that are wanted.

    Args:
        names: Of `ARMS`, or "recipe" for the recipe as it stands.
        file: YAML with arms of one's own: a name and the fields of ``VPOConfig`` that it sets.

    Returns:
        Name -> fields; None for the recipe as it stands.

    Raises:
        ValueError: A name is unknown or comes twice, there is no arm, or the file holds something else.
    """
    arms: dict[str, dict[str, Any] | None] = {}
    for name in names:
        if name != RECIPE and name not in ARMS:
            raise ValueError(f"there is no objective {name!r}: expected {RECIPE} or one of {', '.join(ARMS)}.")
        if name in arms:
            raise ValueError(f"objective {name!r} is named twice: expected every arm once.")
        arms[name] = None if name == RECIPE else dict(ARMS[name])
    for name, fields in _own(file).items():
        if name in arms or not _is_folder_name(name):
            raise ValueError(
                f"{file} names the arm {name!r}: expected a name of its own, without slashes and not beginning with a "
                "dot or 'base', as its runs lie in a folder of that name."
            )
        arms[name] = fields
    if not arms:
        raise ValueError("there is nothing to compare: name --objectives or give --arms FILE.")
    return arms


def _is_folder_name(name: str) -> bool:
    """Also not that of the base, by which runs know it."""
    return (
        not name.startswith("base")
        and bool(name.strip())
        and name == name.strip()
        and name[0] != "."
        and name.isprintable()
        and "/" not in name
    )


def _own(file: Path | None) -> dict[str, dict[str, Any]]:
    if file is None:
        return {}
    from trainers.recipe_file import arms_schema
    from trainers.vpo import SETTINGS
    from vpo.yaml_file import check, read_yaml

    found = read_yaml(file)
    check(found, arms_schema(SETTINGS))
    return found.content


def recipe_of_arm(recipe: Mapping[str, Any], fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """The recipe with an arm's objective in it.

    A single-answer arm samples as many *answers* a prompt as the recipe does: its groups are m times as large, and
    gradients are accumulated over m times as many batches, so that a step has the same prompts.

    Args:
        recipe: Keys of a recipe.
        fields: What the arm sets; None for the recipe as it stands.

    Returns:
        A new recipe.
    """
    if fields is None:
        return dict(recipe)
    result = {key: value for key, value in recipe.items() if key not in _OF_AN_OBJECTIVE}
    answers = int(recipe.get("num_answers", 3))
    factor, rest = divmod(answers, int(fields.get("num_answers", answers)))
    if rest or not factor:
        raise ValueError(
            f"the recipe asks for {answers} answers and an arm for {fields['num_answers']}: expected a divisor, so "
            "that both can sample equally many."
        )
    if factor > 1:
        for key, default in (("num_generations", 8), ("gradient_accumulation_steps", 1)):
            result[key] = int(recipe.get(key, default)) * factor
        for key in ("steps_per_generation", "generation_batch_size"):
            if recipe.get(key) is not None:
                result[key] = int(recipe[key]) * factor
    return {**result, **fields}


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Text that two recipes share only if they are the same."""
    return json.dumps(recipe, sort_keys=True, default=str)
