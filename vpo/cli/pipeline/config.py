"""The file of a pipeline: which stages there are, what may stand in each, all of it checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

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
_NEEDS = {"heal": "convert", "evaluate": "train", "monitor": "train", "search": "train"}
# Policy -> stage that makes it, in the order in which they come about.
POLICIES = {"source": "model", "converted": "convert", "healed": "heal", "trained": "train"}
_MODEL = ("name", "wheel")
_CONVERT = ("prelude", "core", "coda", "choose_core", "text", "injection", "retention", "loops", "drop_rest")
HEAL_OWN = ("texts", "rows")
TRAIN_OWN = ("processes", "accelerate_config")
_EVALUATE = ("policies", "prompts", "completions", "batch_size")
_MONITOR = ("correct", "prompts", "every", "facets", "rules", "thresholds", "rate", "fail_on")
SEARCH_OWN = ("policies", "count")
# What the pipeline itself sets.
_GIVEN = {
    "heal": ("output_dir", "resume_from_checkpoint", "seed", "report_to", "disable_tqdm"),
    "train": ("model_name_or_path", "output_dir", "resume_from_checkpoint", "dry_run", "evaluate", "seed"),
    "search": ("problems", "out"),
}
# One step of everything. A value that the file does not have is added.
_DRY = {
    "heal": {"max_steps": 1, "rows": 8, "save_strategy": "no"},
    "train": {"max_steps": 1, "save_strategy": "no", "report_to": "none", "push_to_hub": False},
    "evaluate": {"prompts": 2, "completions": 2, "batch_size": 4},
    "search": {"count": 1, "seeds": 1, "procedures": {}},
}


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
        sets: Further values, as "heal.max_steps=100".
        dry_run: Make every stage one step.

    Raises:
        ValueError: There is no such file; a key is unknown, missing, or set by the pipeline itself.
    """
    import yaml

    if not path.is_file():
        raise ValueError(f"there is no file {path}: expected a YAML file with out, model, convert, heal, train, ...")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: expected keys and values. {error}") from error
    content = dict(_mapping(raw, str(path)))
    small = _mapping(content.pop("smoke", {}), f"{path}, smoke")
    if smoke:
        if not small:
            raise ValueError(f"{path} has no key smoke: expected what its small size differs in. Leave --smoke out.")
        content = _over(content, {"out": f"{content.get('out', f'runs/{path.stem}')}-smoke", **small})
    for word in sets:
        content = _over(content, _set(word))
    if dry_run:
        content = _over(content, {stage: values for stage, values in _DRY.items() if stage in content})
        if "train" in content:  # what one step takes
            content["train"]["task_rows"] = content["train"].get("generation_batch_size", 64)
        if "search" in content:
            content["search"] = {**content["search"], "budget": 2 * content["search"].get("max_new_tokens", 512)}
            content["search"]["procedures"] = {}
    return parse_pipeline(content, str(path), path.stem)


def parse_pipeline(content: Mapping[str, Any], where: str, name: str = "pipeline") -> Pipeline:
    """Check the stages and their keys; see `read_pipeline`."""
    _known(content, where, ("out", "seed", *READS))
    stages: dict[str, Mapping[str, Any]] = {}
    for stage in READS:
        if stage in content:
            stages[stage] = _mapping(content[stage] or {}, f"{where}, {stage}")
    for stage in stages:
        if stage in _NEEDS and _NEEDS[stage] not in stages:
            raise ValueError(f"{where} has the stage {stage} and lacks {_NEEDS[stage]}, which it needs. Add it.")
    if "model" not in stages:
        raise ValueError(f"{where} lacks model: expected `model: {{name: a hub name or folder}}`.")
    _check_keys(stages, where)
    seed = content.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"{where}: seed is {seed!r}, expected a whole number.")
    found = Pipeline(Path(str(content.get("out", f"runs/{name}"))), seed, stages)
    for stage in ("evaluate", "search"):
        for policy in found.policies(stage) if stage in stages else ():
            if policy not in POLICIES or POLICIES[policy] not in stages:
                made = ", ".join(policy for policy, maker in POLICIES.items() if maker in stages)
                raise ValueError(f"{where}, {stage}: there is no policy {policy!r}, expected some of {made}.")
    return found


def _check_keys(stages: Mapping[str, Mapping[str, Any]], where: str) -> None:
    known: dict[str, Sequence[str]] = {
        "model": _MODEL,
        "convert": _CONVERT,
        "evaluate": _EVALUATE,
        "monitor": _MONITOR,
    }
    if "heal" in stages:
        from trainers.healing_config import HealingConfig

        known["heal"] = [*HEAL_OWN, *(each.name for each in fields(HealingConfig) if each.init)]
    if "train" in stages:
        from trainers.vpo import SETTINGS

        names = [field.name for kind in SETTINGS for field in fields(kind) if field.init]
        known["train"] = [*TRAIN_OWN, *names]
    if "search" in stages:
        from vpo.cli.search_compare.config import Config

        known["search"] = [*SEARCH_OWN, *Config.__dataclass_fields__]
    for stage, settings in stages.items():
        for key in settings:
            if key in _GIVEN.get(stage, ()):
                raise ValueError(f"{where}, {stage} sets {key!r}, which the pipeline itself sets. Leave it out.")
        _known(settings, f"{where}, {stage}", known[stage])
    if sum(stages["model"].get(key) is not None for key in _MODEL) != 1:
        raise ValueError(f"{where}, model is {dict(stages['model'])}: expected `name` or `wheel`, one of them.")
    for stage, key in (("heal", "texts"), ("train", "task"), ("search", "budget"), ("search", "count")):
        if stage in stages and key not in stages[stage]:
            raise ValueError(f"{where}, {stage} lacks {key}: expected it. Add it.")


def _known(found: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
    if unknown := [str(key) for key in found if key not in known]:
        import difflib

        close = difflib.get_close_matches(unknown[0], known, n=1)
        expected = f"Did you mean {close[0]!r}?" if close else f"Expected some of {', '.join(known[:12])}, ..."
        raise ValueError(f"{where} has the unknown key {unknown[0]!r}. {expected}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} holds {type(value).__name__}: expected keys and values.")
    return value


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The one with the other's values laid over it, stage by stage; what is deeper is replaced whole."""
    found = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = {**found[key], **value} if both else value
    return found


def _set(word: str) -> dict[str, Any]:
    import yaml

    name, sign, value = word.partition("=")
    stage, dot, key = name.partition(".")
    if not sign or not name:
        raise ValueError(f"--set is {word!r}: expected a stage, a key and a value, as heal.max_steps=100.")
    parsed = yaml.safe_load(value)
    return {stage: {key: parsed}} if dot else {stage: parsed}
