"""The guide to the real model says what the results say, and the results are those of the recipe."""

from __future__ import annotations

import json
import random
from itertools import islice

import pytest
import yaml

from tests.checkout import ROOT
from vpo.cli.pipeline.summary import _cell, _difference
from vpo.tasks import get_task
from vpo.tasks.own import load_file

PAGE = (ROOT / "docs" / "real_model.md").read_text()
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "real_model.json").read_text())
SHOWN = ("answers read", "mean valid", "mean numbers", "mean close", "mean hit", "best@1", "best@8", "distinct")


def test_every_row_of_the_policies_is_that_of_the_results():
    policies = RESULTS["policies"]
    assert "| | " + " | ".join(policies) + " |" in PAGE
    for name in SHOWN:
        assert f"| {name} | " + " | ".join(_cell(policy[name]) for policy in policies.values()) + " |" in PAGE, name


def test_the_differences_and_the_searches_are_those_of_the_results():
    for each in RESULTS["differences"]:
        if each["against"] == "healed" and each["metric"] in SHOWN:
            assert _difference(each, each["policy"]) in PAGE
    for arm, row in RESULTS["search"]["table"].items():
        assert f"| {arm} | " + " | ".join(_cell(row[name]) for name in ("best", "E_w[best]")) + " |" in PAGE
    for each in RESULTS["search"]["differences"]:
        if each["metric"] in ("best", "E_w[best]"):
            assert _difference(each, each["arm"]) in PAGE


def test_arandom_expression_is_worth_what_the_guide_holds_the_policies_against():
    task = get_task(str(ROOT / "recipes" / "countdown.py"))
    examples = load_file(ROOT / "recipes" / "countdown.py").random_expression
    rng = random.Random(0)
    rows = list(islice(task.path("test"), 100))
    vectors = [task.score(examples(row["numbers"], rng), row) for row in rows for _ in range(10)]
    means = [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]
    assert sum(w * mean for w, mean in zip(task.w_star, means, strict=True)) == pytest.approx(0.40, abs=0.03)
    assert means[2] == pytest.approx(0.25, abs=0.03)
    trained = RESULTS["policies"]["trained"]
    assert trained["best@1"]["mean"] < 0.37
    assert trained["mean hit"]["mean"] < means[3]


def test_the_minutes_of_the_stages_are_those_of_the_results():
    for job, seconds in RESULTS["seconds"].items():
        assert f"| {job} | {seconds / 60:.1f} |" in PAGE
    assert f"| all | {sum(RESULTS['seconds'].values()) / 60:.0f} |" in PAGE


def test_the_results_are_of_the_recipe_as_it_stands():
    recipe = yaml.safe_load((ROOT / "recipes" / "smollm2_cpu.yaml").read_text())
    assert RESULTS["pipeline"] == "vpo pipeline recipes/smollm2_cpu.yaml"
    assert RESULTS["seed"] == recipe["seed"]
    assert RESULTS["settings"] == {stage: recipe[stage] for stage in RESULTS["settings"]}
    assert set(RESULTS["settings"]) == recipe.keys() - {"out", "seed", "smoke"}


def test_nothing_of_one_machine_is_in_the_results():
    text = json.dumps(RESULTS)
    assert not any(place in text for place in ("/tmp", "/home", "/root", "/work"))
