"""The file of a pipeline: which stages there are, what may stand in each, all of it checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpo.cli.pipeline.stages import GIVEN, NEEDS, POLICIES, READS, pipeline_schema
from vpo.yaml_file import YamlFile, check, mistakes, read_yaml
from vpo.yaml_file.reading import Place

# One step of everything. A value that the file does not have is added.
_DRY = {
    "heal": {"max_steps": 1, "rows": 8, "save_strategy": "no"},
    "train": {"max_steps": 1, "save_strategy": "no", "report_to": "none", "push_to_hub": False},
    "evaluate": {"prompts": 2, "completions": 2, "batch_size": 4},
    "search": {"count": 1, "seeds": 1, "procedures": {}},
}


# Files that stages read.
_FILES = (
    ("convert", "text"),
    ("heal", "texts"),
    ("train", "task"),
    ("train", "accelerate_config"),
    ("monitor", "rules"),
)


@dataclass(frozen=True)
class Pipeline:
    """What is to be done.

    Attributes:
        out: Folder of all stages.
        seed: Of every stage.
        stages: Stage -> its settings, in the order in which they run; a stage that the file leaves out is not there.
    """

    out: Path
    seed: int
    stages: Mapping[str, Mapping[str, Any]]

    def model_of(self, policy: str) -> str:
        """Where a policy lies: a folder, or the source's name on the hub."""
        if policy == "source" and self.stages["model"].get("name"):
            return str(self.stages["model"]["name"])
        return str(self.out / {"source": "model", "converted": "convert", "healed": "heal/model"}.get(policy, "train"))

    @property
    def start(self) -> str:
        """The policy that training starts from."""
        return [policy for policy, maker in POLICIES.items() if maker in self.stages and policy != "trained"][-1]

    def policies(self, stage: str) -> list[str]:
        """The policies that a stage looks at."""
        made = [policy for policy, maker in POLICIES.items() if maker in self.stages]
        return list(self.stages.get(stage, {}).get("policies") or made)


def read_pipeline(path: Path, smoke: bool = False, sets: Sequence[str] = (), dry_run: bool = False) -> Pipeline:
    """Read the file of a pipeline.

    Args:
        path: YAML with ``out``, ``seed``, a mapping for each stage, and ``smoke``: the same again, only what differs.
        smoke: Lay ``smoke`` over the rest.
        sets: Further values, as "heal.max_steps=100"; null takes a key out.
        dry_run: Make every stage one step.

    Raises:
        ValueError: There is no such file; a key is unknown, missing, or set by the pipeline itself.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: expected a YAML file with out, model, convert, heal, train, ...")
    file = read_yaml(path)
    content = dict(file.content)
    small = content.pop("smoke", {})
    _refuse_given(content, file.where)
    if isinstance(small, dict):
        _refuse_given(small, lambda place: file.where(("smoke", *place)))
    check(file, pipeline_schema([*content, *(small if isinstance(small, dict) else ())]))
    if smoke:
        if not small:
            raise ValueError(f"{path} has no key smoke: expected what its small size differs in. Leave --smoke out.")
        content = _over(content, {"out": f"{content.get('out', f'runs/{path.stem}')}-smoke", **small})
    for word in sets:
        content = _without_null(_over(content, values := _set(word)), values)
    if dry_run:
        content = _over(content, {stage: values for stage, values in _DRY.items() if stage in content})
        if "train" in content:  # what one step takes
            content["train"]["task_rows"] = content["train"].get("generation_batch_size", 64)
        if "search" in content:
            content["search"] = {**content["search"], "budget": 2 * content["search"].get("max_new_tokens", 512)}
            content["search"]["procedures"] = {}
    return parse_pipeline(content, _where(file, smoke, sets), path.stem)


def parse_pipeline(content: Mapping[str, Any], where: Callable[[Place], str] | str, name: str = "pipeline") -> Pipeline:
    """Check plain values; see `read_pipeline`.

    Args:
        content: The file's, without ``smoke``.
        where: Where its values come from, or what says so of a place in it.
        name: Of the folder, where it names none.
    """
    at = where if callable(where) else lambda place: where
    _refuse_given(content, at)
    if wrong := mistakes(dict(content), pipeline_schema(list(content)), at):
        raise ValueError("\n".join(wrong[:10]))
    stages: dict[str, Mapping[str, Any]] = {stage: content[stage] or {} for stage in READS if stage in content}
    for stage in stages:
        if stage in NEEDS and NEEDS[stage] not in stages:
            raise ValueError(f"{at((stage,))} has the stage {stage} and lacks {NEEDS[stage]}, which it needs. Add it.")
    if len(stages["model"]) != 1:
        raise ValueError(f"{at(('model',))}: model is {stages['model']}: expected `name` or `wheel`, one of them.")
    found = Pipeline(Path(content.get("out", f"runs/{name}")), content.get("seed", 0), stages)
    for stage in ("evaluate", "search"):
        for policy in found.policies(stage) if stage in stages else ():
            if POLICIES[policy] not in stages:
                made = ", ".join(policy for policy, maker in POLICIES.items() if maker in stages)
                raise ValueError(
                    f"{at((stage, 'policies'))}, {stage}: there is no policy {policy!r}, expected some of {made}."
                )
    return found


def check_here(pipeline: Pipeline, path: Path) -> None:
    """Refuse what cannot run from this folder: now, and not when the stage begins that would find out.

    Args:
        pipeline: What is to be done.
        path: Its file, to name it.

    Raises:
        ValueError: A file that a stage reads is not there, or there is nothing to do.
    """
    if list(pipeline.stages) == ["model"] and pipeline.stages["model"].get("name"):
        raise ValueError(f"{path} has no stage besides model: expected some of {', '.join(READS)}. Add what is to do.")
    for stage, key in _FILES:
        named = str(pipeline.stages.get(stage, {}).get(key) or "")
        if key == "texts" and ":" in named:  # a function of a file, or of a module
            named = named.rpartition(":")[0]
            named = named if named.endswith(".py") else ""
        if named and not (key == "task" and not named.endswith(".py")) and not Path(named).is_file():
            raise ValueError(
                f"{path}: {stage}.{key} names {named}, and there is no such file in {Path.cwd()}: expected it there, "
                "as files are looked for from the folder in which the command runs. Go to its folder, or mend the path."
            )


def _refuse_given(content: Mapping[str, Any], where: Callable[[Place], str]) -> None:
    """Name what the pipeline itself sets: to the schema it would be unknown."""
    for stage, given in GIVEN.items():
        settings = content.get(stage)
        for key in settings if isinstance(settings, dict) else ():
            if key in given:
                raise ValueError(
                    f"{where((stage, key))}: {stage} sets {key!r}, which the pipeline itself sets. Leave it out."
                )


def _where(file: YamlFile, smoke: bool, sets: Sequence[str]) -> Callable[[Place], str]:
    """Where a value of the whole comes from: a single value, the small size, or the rest."""

    def where(place: Place) -> str:
        for word in reversed(sets):
            named = tuple(word.partition("=")[0].split(".", 1))
            if place[: len(named)] == named:
                return f"--set {word}"
        return file.where(("smoke", *place) if smoke and ("smoke", *place) in file.lines else place)

    return where


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The one with the other's values laid over it, stage by stage; what is deeper is replaced whole."""
    found = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = {**found[key], **value} if both else value
    return found


def _without_null(content: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The content without the keys of stages that were given as null."""
    for stage, values in given.items():
        gone = [key for key, value in values.items() if value is None] if isinstance(values, dict) else []
        if gone:
            content = {**content, stage: {key: each for key, each in content[stage].items() if key not in gone}}
    return content


def _set(word: str) -> dict[str, Any]:
    import yaml

    name, sign, value = word.partition("=")
    stage, dot, key = name.partition(".")
    if not sign or not name:
        raise ValueError(f"--set is {word!r}: expected a stage, a key and a value, as heal.max_steps=100.")
    parsed = yaml.safe_load(value)
    return {stage: {key: parsed}} if dot else {stage: parsed}
