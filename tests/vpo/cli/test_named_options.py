"""The schemas know the options of named parts: those that the parts take, and no others."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from search.problems import get_problems, list_problems
from search.procedures.registry import PROCEDURES, get_procedure
from search.screening.registry import PREDICTORS
from tests.fuzz.mutations import mutated
from tests.search.toy_problem import ToyProblem
from tests.vpo.cli.test_pipeline_schema import strict
from trainers.recipe_file import arms_schema, recipe_schema
from trainers.vpo import SETTINGS
from vpo.cli.app import main
from vpo.cli.pipeline.stages import stage_schema
from vpo.cli.search.config import search_schema
from vpo.cli.search.options import part_rules, problem_names, problem_options, procedure_options
from vpo.cli.search.parts import SAMPLERS
from vpo.cli.search_compare.schema import comparison_schema
from vpo.objective import DIVERSITY, OBJECTIVES, make_diversity, make_objective
from vpo.tasks import HOME, get_task, list_tasks
from vpo.tasks.options import task_options
from vpo.yaml_file import mistakes

RECIPE, SEARCH, COMPARISON = recipe_schema(SETTINGS), search_schema(), comparison_schema()


def values(schema):
    """For every option a value that its schema allows."""
    for name, each in schema["properties"].items():
        (first, *_) = each.get("anyOf", [each])
        plain = {"integer": 3, "number": 0.5, "boolean": True, "string": "x", "array": [3], "object": {}}
        yield name, first["enum"][0] if "enum" in first else plain.get(first.get("type"))


@pytest.mark.parametrize("name", list_tasks())
def test_options_of_a_task_are_those_that_it_takes(name):
    known = dict(values(task_options(name)))
    module, kind = HOME[name]
    fields = {each.name for each in dataclasses.fields(getattr(import_module(module), kind)) if each.init}
    assert known.keys() == fields - {"generator"}
    for option in known:
        allowed = {"task": name, "task_options": {option: known[option]}}
        assert not mistakes(allowed, RECIPE), option
    for wrong in ({"no_such": 1}, {next(iter(known)): [["x"]]}):
        assert mistakes({"task": name, "task_options": wrong}, RECIPE)
    with pytest.raises(ValueError, match="has not these options"):
        get_task(name, no_such=1)


@pytest.mark.parametrize(("key", "known", "make"), [
    ("objective", OBJECTIVES, make_objective), ("diversity", DIVERSITY, make_diversity),
])  # fmt: skip
def test_options_of_objectives_and_diversity_terms_are_those_that_they_take(key, known, make):
    for name, kind in known.items():
        fields = [each for each in dataclasses.fields(kind) if each.init]
        for each in fields:
            options = {each.name: each.default}
            assert not mistakes({key: name, f"{key}_options": options}, RECIPE)
            make(name, **options)
        assert mistakes({key: name, f"{key}_options": {"no_such": 1}}, RECIPE)
        with pytest.raises(TypeError):
            make(name, no_such=1)


@pytest.mark.parametrize("name", PROCEDURES)
def test_options_of_a_procedure_are_those_that_it_takes(name):
    parameters = inspect.signature(PROCEDURES[name]).parameters
    schema = procedure_options(name)
    assert schema["properties"].keys() == parameters.keys() - {"vary", "canonical", "descriptor"}
    for option in schema["properties"]:
        given = {option: parameters[option].default}
        assert not mistakes({"name": name, **given}, SEARCH["properties"]["procedure"])
        get_procedure(name, ToyProblem("toy"), **given)
    assert mistakes({"name": name, "no_such": 1}, SEARCH["properties"]["procedure"])


def test_there_are_rules_for_every_name_of_ours():
    names = {part: len(part_rules(part)) for part in ("problem", "sampler", "procedure", "predictor")}
    counts = {"problem": list_problems(), "sampler": SAMPLERS, "procedure": PROCEDURES, "predictor": PREDICTORS}
    assert names == {part: len(known) for part, known in counts.items()}
    assert [name for _, name in problem_names()] == [*list_problems()]


@pytest.mark.parametrize(
    "name", ["circle_packing", "heilbronn_triangle", "minimum_overlap", "cap_set", "maze", "knapsack"]
)
def test_options_of_a_problem_are_those_that_it_takes(name):
    known = problem_options(name)["properties"]
    small = {"num_problems": 1} if name in list_tasks() else {}
    for option, value in (
        ("num_answers", 2),
        ("sizes", 12),
        ("dimensions", [3]),
        ("num_items", 5),
        ("hidden_share", 0.1),
    ):
        if option in known:
            assert not mistakes({"name": name, option: value}, SEARCH["properties"]["problem"])
            assert get_problems(name, **small, **{option: value})
    assert mistakes({"name": name, "no_such": 1}, SEARCH["properties"]["problem"])
    with pytest.raises(ValueError, match=r"has no(t these)? option"):
        get_problems(name, no_such=1)


SEARCHES = {
    "problem": {"name": "maze", "num_problems": 8, "num_answers": 3, "notation": "cells", "maze": {"size": 5}},
    "sampler": {"name": "openai", "base_url": "http://x/v1", "model": "m", "dialect": "vpo", "timeout_s": 3},
    "procedure": {"name": "lexicase", "epsilon": "none", "iid_share": 0.25, "capacity": None},
    "budget": {"max_answers": 5},
    "screen": {"predictor": {"name": "text", "most": 40}},
    "out": "x",
}
COMPARISONS = {
    "problems": [{"name": "circle_packing", "options": {"sizes": [5, 6]}}, {"name": "code", "options": None}],
    "policies": {"p": "m"},
    "procedures": {"evolution": {"iid_share": 0.5}, "wide": {"procedure": "beam", "width": 9}, "puct": None},
    "budget": 60,
}
RECIPES = {
    "task": "reasoning_gym:countdown",
    "task_options": {"parts": 2, "config": {"a": 1}},
    "objective": "vpo",
    "objective_options": {"anchor": 0.3},
    "diversity": "darling",
    "diversity_options": {"floor": 0.1},
}
NAMES = [
    "maze",
    "code",
    "openai",
    "vllm",
    "beam",
    "puct",
    "text",
    "grpo",
    "mine.py",
    "task",
    3,
    1.5,
    True,
    None,
    {},
    [],
]


@pytest.mark.parametrize(
    ("schema", "document"), [(SEARCH, SEARCHES), (COMPARISON, COMPARISONS), (RECIPE, RECIPES)], ids=["s", "c", "r"]
)
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_our_checker_and_json_schema_agree_on_rules(schema, document, data):
    assert not mistakes(document, schema) and Draft202012Validator(schema).is_valid(document)
    changed = data.draw(mutated(copy.deepcopy(document), hostile=NAMES, most=2))
    assert (not mistakes(changed, schema)) == strict(schema).is_valid(changed)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_rules_of_the_names_in_a_file_say_what_all_rules_say(data):
    changed = data.draw(mutated(copy.deepcopy(SEARCHES), hostile=NAMES, most=2))
    if isinstance(changed, dict):
        assert mistakes(changed, search_schema(changed)) == mistakes(changed, SEARCH)


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        (
            "train",
            "task: maze\ntask_options:\n  hiden_share: 1",
            "line 3: there is no setting 'task_options.hiden_share'",
        ),
        ("train", "task: maze\ntask_options:\n  maze: {size: five}", "line 3: task_options.maze.size is 'five'"),
        (
            "train",
            "objective: vpo\nobjective_options: {anker: 1}",
            "line 2: there is no setting 'objective_options.anker'",
        ),
        ("train", "diversity: darling\ndiversity_options: {beta: 1}", "there is no setting 'diversity_options.beta'"),
        ("search run", "problem: {name: maze, num_problem: 3}", "line 1: there is no setting 'problem.num_problem'"),
        ("search run", "sampler: {name: model, batch: 3}", "line 1: there is no setting 'sampler.batch'"),
        ("search run", "sampler:\n  name: model", "sampler lacks model: expected a value"),
        ("search run", "procedure: {name: puct, width: 3}", "expected name, exploration, capacity or children_kept"),
        ("search run", "screen:\n  predictor: {name: text, most: all}", "line 2: screen.predictor.most is 'all'"),
        ("search compare", "procedures:\n  puct: {width: 1}", "line 2: there is no setting 'procedures.puct.width'"),
        (
            "search compare",
            "problems:\n  name: maze\n  options: {wide: 1}",
            "line 3: there is no setting 'problems.options",
        ),
    ],
)
def test_a_mistake_in_an_option_is_named_by_its_line_before_anything_is_loaded(
    tmp_path, capsys, command, text, message
):
    path = tmp_path / "file.yaml"
    path.write_text(text + "\n")
    assert main([*command.split(), str(path)]) == 1
    assert message in capsys.readouterr().err


def test_names_that_are_not_ours_may_have_any_options():
    assert not mistakes({"task": "mine.py", "task_options": {"x": 1}}, RECIPE)
    assert not mistakes({"task_options": {"x": 1}}, RECIPE), "a flag may name the task"
    assert not mistakes({"objective_options": {"aggregation": "max"}}, RECIPE)
    for part, name in (("problem", "mine.py"), ("sampler", "mine:make")):
        assert not mistakes({"name": name, "x": 1}, SEARCH["properties"][part])
    assert not mistakes({"task": "code", "task_options": '{"max_tests": 3}'}, RECIPE), "JSON, as on a command line"


def test_arms_and_pipelines_know_them_too():
    arms = arms_schema(SETTINGS)
    assert mistakes({"a": {"objective": "vpo", "objective_options": {"anker": 1}}}, arms)
    assert not mistakes({"a": {"objective": "vpo", "objective_options": {"anchor": 1}}}, arms)
    assert mistakes({"task": "maze", "task_options": {"x": 1}}, stage_schema("train"))
    search = {"count": 1, "budget": 60, "procedures": {"puct": {"width": 3}}}
    assert mistakes(search, stage_schema("search"))


def test_the_options_in_the_guides_are_known():
    text = yaml.safe_load((Path(__file__).parents[3] / "recipes/maze.yaml").read_text())
    assert text["task_options"] and not mistakes(text, RECIPE)
