"""`vpo schema`: the JSON schemas of our YAML files, for editors that complete and check while one writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from vpo.yaml_file import Schema

Kind = Literal["train", "arms", "search", "search-compare", "pipeline"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TITLES = {
    "train": "Recipe of `vpo train` and `vpo compare`",
    "arms": "Arms of `vpo compare --arms`",
    "search": "File of `vpo search run`",
    "search-compare": "File of `vpo search compare`",
    "pipeline": "File of `vpo pipeline`",
}


def schema_of_file(kind: Kind) -> Schema:
    """The schema that files of a kind are checked with, and its title."""
    found: dict[Kind, Callable[[], Schema]] = {
        "train": _train,
        "arms": _arms,
        "search": _search,
        "search-compare": _search_compare,
        "pipeline": _pipeline,
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _TITLES[kind]}
    return {**head, **found[kind]()}


def _train() -> Schema:
    from trainers.recipe_file import recipe_schema
    from trainers.vpo import SETTINGS

    return recipe_schema(SETTINGS)


def _arms() -> Schema:
    from trainers.recipe_file import arms_schema
    from trainers.vpo import SETTINGS

    return arms_schema(SETTINGS)


def _search() -> Schema:
    from vpo.cli.search.config import search_schema

    return search_schema()


def _search_compare() -> Schema:
    from vpo.cli.search_compare.schema import comparison_schema

    return comparison_schema()


def _pipeline() -> Schema:
    from vpo.cli.pipeline.stages import pipeline_schema

    return pipeline_schema()
