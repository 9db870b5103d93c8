"""`vpo schema pipeline` and the reader of pipelines say the same of a file."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators

from tests.fuzz.mutations import mutated
from vpo.cli.app import main
from vpo.cli.pipeline.config import read_pipeline
from vpo.cli.pipeline.stages import GIVEN, NEEDS, POLICIES
from vpo.yaml_file import read_yaml

ROOT = Path(__file__).parents[3]
RECIPES = [ROOT / f"recipes/{name}.yaml" for name in ("smollm2_cpu", "qwen3_1.7b_gpu", "qwen3_1.7b_fsdp2")]
SMALL = {
    "out": "x",
    "model": {"name": "m"},
    "convert": {"prelude": "0-1", "core": 2, "coda": 3, "loops": 2},
    "heal": {"texts": "t.txt", "rows": 8, "cap": 2, "learning_rate": 1e-4, "bf16": True},
    "train": {"task": "maze", "objective": "vpo", "num_answers": 2, "learning_rate": "1e-5", "beta": 0.0},
    "evaluate": {"policies": ["source", "trained"], "prompts": 4},
    "monitor": {"correct": "hit", "facets": ["format"], "thresholds": {"dominance": 0.9}},
    "search": {"count": 4, "budget": 200, "procedures": ["evolution"], "seeds": [0, 1], "targets": ["best_of_n", 0.5]},
    "smoke": {"heal": {"rows": 1}, "search": {"count": 1}},
}


@pytest.fixture(scope="module")
def schema():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["schema", "pipeline"]) == 0
    return json.loads(out.getvalue())


def strict(schema):
    """A validator for which, as for the settings, 3.0 is no whole number."""
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    return validators.extend(Draft202012Validator, type_checker=types)(schema)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_checkout_are_allowed(schema, path):
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))
    for smoke in (False, True) if "smoke" in path.read_text() else (False,):
        assert read_pipeline(path, smoke=smoke, dry_run=smoke).stages


def test_every_key_is_described_and_what_the_pipeline_sets_is_none(schema):
    for stage in NEEDS.keys() | {"model", "convert"}:
        part = schema["properties"][stage]
        (part, *_) = part.get("anyOf", [part])
        if stage != "search":
            assert all("description" in each for each in part["properties"].values()), stage
        assert not part["properties"].keys() & set(GIVEN.get(stage, ()))
        assert part["additionalProperties"] is False


HOSTILE = [*("", "no", "1e-4", "3", "true", "maze", "trained"), -1, 0, 3, 1.5, True, None, [], {}, ["source"], {"a": 1}]


def agrees(schema, content) -> None:
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(_folder())) / "p.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        try:
            content = read_yaml(path).content
        except ValueError:
            assume(False)  # nothing that YAML's reader lets through, whatever it is
        says = not list(strict(schema).iter_errors(content))
        try:
            read_pipeline(path)
            reads = True
        except ValueError as error:
            if "there is no policy" in str(error):  # which stages make it, no schema says
                assert says
                return
            reads = False
            assert str(path) in str(error)
        assert says == reads, (content, [error.message[:200] for error in strict(schema).iter_errors(content)])


def _folder():
    import tempfile

    return tempfile.TemporaryDirectory()


@given(content=mutated(SMALL, hostile=HOSTILE, most=2))
@example(content=SMALL)
@example(content={**SMALL, "model": {"name": "m", "wheel": "w"}})
@example(content={**SMALL, "model": {}})
@example(content={"model": {"name": "m"}, "heal": {"texts": "x"}})
@example(content={"model": {"name": "m"}, "monitor": None})
@example(content={**SMALL, "monitor": None, "convert": None})
@example(content={**SMALL, "train": {"task": None}})
@example(content={**SMALL, "train": {**SMALL["train"], "output_dir": "x"}})
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_schema_and_reader_agree_on_a_file_with_mistakes(schema, content):
    assume(isinstance(content, dict))
    agrees(schema, content)


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_schema_and_reader_agree_on_the_recipes_with_mistakes(schema, data):
    recipe = yaml.safe_load(data.draw(st.sampled_from(RECIPES)).read_text())
    content = data.draw(mutated(recipe, hostile=HOSTILE, most=1))
    assume(isinstance(content, dict))
    agrees(schema, content)


@given(stages=st.sets(st.sampled_from(["convert", "heal", "train", "evaluate", "monitor", "search"])))
@settings(max_examples=64, deadline=None, suppress_health_check=list(HealthCheck))
def test_schema_and_reader_agree_on_which_stages_go_together(schema, stages):
    agrees(schema, {name: SMALL[name] for name in ("out", "model", *stages)})


def test_the_policies_of_the_schema_are_those_of_the_reader(schema):
    (evaluate, _) = schema["properties"]["evaluate"]["anyOf"]
    (policies, _) = evaluate["properties"]["policies"]["anyOf"]
    assert policies["items"]["enum"] == list(POLICIES)
