"""The guide to the real model says what the results say, and the results are those of the recipe."""

from __future__ import annotations

import json
import random
import re
from itertools import islice

import pytest
import yaml

from tests.checkout import ROOT
from vpo.cli.pipeline.summary import _cell, _difference
from vpo.tasks import get_task
from vpo.tasks.own import load_file

PAGE = (ROOT / "docs" / "real_model.md").read_text()
SAID = " ".join(PAGE.split())
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "real_model.json").read_text())
CONTROLS = ("random expression", "sum of the numbers")
OTHERS = {"plain": "plain VPO", "group": "scaled by group"}  # arm of the benchmark -> its name in the guide
SHOWN = ("answers read", "mean valid", "mean numbers", "mean close", "mean hit", "best@1", "best@8", "distinct")


@pytest.mark.parametrize("name", SHOWN)
def test_a_row_of_the_policies_and_controls_is_that_of_the_results(name):
    shown = [_cell(RESULTS["policies"][policy][name]) for policy in ("source", "healed", "trained")]
    shown += [_cell(RESULTS["otherwise"][arm]["policy"][name]) for arm in OTHERS]
    controls = [RESULTS["controls"][each] for each in CONTROLS]
    shown += [f"{control[name]:.3f}" if name in control else "" for control in controls]
    assert re.sub(r" +", " ", f"| {name} | {' | '.join(shown)} |") in PAGE


def test_the_prose_says_what_the_results_say():
    distinct = {policy: RESULTS["policies"][policy]["distinct"]["mean"] for policy in ("healed", "trained")}
    distinct |= {arm: RESULTS["otherwise"][arm]["policy"]["distinct"]["mean"] for arm in OTHERS}
    shown = {policy: f"{figure:.1f}" for policy, figure in distinct.items()}
    assert f"{shown['trained']} of 8 answers differ where {shown['healed']} did" in SAID
    assert f"Under plain VPO {shown['plain']} of 8 answers differ" in SAID
    assert f"Scaled by group, {shown['group']} of 8 differ" in SAID
    assert f"closed the tags in {RESULTS['policies']['healed']['answers read']['mean']:.3f} of the answers" in SAID
    assert f'of the third, "{RESULTS["otherwise"]["group"]["monitor"]["verdict"]}"' in SAID
    assert RESULTS["otherwise"]["plain"]["monitor"]["verdict"] == RESULTS["monitor"]["verdict"]
    for arm in OTHERS:
        own = RESULTS["otherwise"][arm]["seconds"]
        assert round(sum(own[job] for job in ("train", "evaluate trained", "monitor", "search")) / 60) == 25
    short = [target["name"] for target in RESULTS["targets"] if not target["ok"]]
    assert len(short) == 3 and sum("random expression" in name or "sum of the numbers" in name for name in short) == 2


def test_the_differences_and_the_searches_are_those_of_the_results():
    for each in RESULTS["differences"]:
        if each["against"] == "healed" and each["metric"] in ("best@1", "best@8", "distinct"):
            assert _difference(each, "trained") in PAGE
    for arm, name in OTHERS.items():
        for each in RESULTS["otherwise"][arm]["between"]:
            assert _difference({**each, "against": name}, "trained") in PAGE
    for each in RESULTS["controls"]["differences"]:
        assert _difference(each, "trained") in PAGE
    for each in RESULTS["search"]["differences"]:
        if each["metric"] in ("best", "E_w[best]"):
            assert _difference({**each, "against": "healed"}, "trained") in PAGE
    tables = {name: RESULTS["otherwise"][arm]["search"]["table"] for arm, name in OTHERS.items()}
    rows = {policy: RESULTS["search"]["table"][f"{policy} / best-of-n"] for policy in ("healed", "trained")}
    rows |= {name: table["trained / best-of-n"] for name, table in tables.items()}
    for policy, row in rows.items():
        assert f"| {policy} | " + " | ".join(_cell(row[name]) for name in ("best", "E_w[best]")) + " |" in PAGE
    assert f"| random expression | {RESULTS['controls']['random expression']['best of a search']:.3f} | |" in PAGE


def test_the_arms_differ_from_the_recipe_in_what_the_guide_says():
    commands = [RESULTS["otherwise"][arm]["command"] for arm in OTHERS]
    for arm, command in zip(OTHERS, commands, strict=True):
        changed = {word.split("=")[0] for word in command.split() if word.startswith("train.")}
        wanted = {"train.scale_rewards"}
        if arm == "plain":
            wanted |= {"train.objective_options", "train.answer_credit"}
        assert changed == wanted


def test_what_trained_answers_earn_at_another_target_is_that_of_the_results():
    share = RESULTS["controls"]["another target"]
    assert f"{share['own']:.3f} at their own target and {share['another']:.3f} at another's" in SAID


def test_the_monitors_words_are_those_of_the_results():
    monitor = RESULTS["monitor"]
    assert f'"{monitor["verdict"]}"' in SAID
    first = monitor["alarms"][0]
    assert f"at step {first['step']} of {monitor['looks']}" in SAID
    found = re.search(r"show ([\d.]+) effective openings \(([\d.]+) at the reference", first["sentence"])
    assert found is not None and f"{found[1]} effective openings where the healed policy had {found[2]}" in SAID


def test_the_readme_says_what_the_results_say():
    policies, searches = RESULTS["policies"], RESULTS["search"]["table"]
    figures = [policies[policy]["best@1"]["mean"] for policy in ("healed", "trained")]
    figures += [searches[f"{policy} / best-of-n"]["best"]["mean"] for policy in ("healed", "trained")]
    figures.append(RESULTS["controls"]["sum of the numbers"]["best@1"])
    figures.append(RESULTS["controls"]["random expression"]["best@8"])
    one, two, three, four, blind, eight = (f"{figure:.2f}".removeprefix("0") for figure in figures)
    said = " ".join((ROOT / "README.md").read_text().split())
    assert f"best@1 from {one} to {two}, best-of-n under search from {three} to {four}" in said
    assert f"always adding the numbers earns {blind} at one answer, random expressions {eight} at eight" in said
    assert f"with {policies['trained']['distinct']['mean']:.1f} of 8 answers different" in said
    assert f"one seed, {sum(RESULTS['seconds'].values()) / 60:.0f} minutes on two cores" in said


def test_a_random_expression_is_worth_what_the_guide_holds_the_policies_against():
    task = get_task(str(ROOT / "recipes" / "countdown.py"))
    examples = load_file(ROOT / "recipes" / "countdown.py").random_expression
    rng = random.Random(0)
    rows = list(islice(task.path("test"), 100))
    vectors = [task.score(examples(row["numbers"], rng), row) for row in rows for _ in range(10)]
    means = [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]
    assert sum(w * mean for w, mean in zip(task.w_star, means, strict=True)) == pytest.approx(0.40, abs=0.03)
    assert means[2] == pytest.approx(0.25, abs=0.03)
    for index, name in enumerate(task.components):  # other questions and draws than the benchmark's
        assert RESULTS["controls"]["random expression"][f"mean {name}"] == pytest.approx(means[index], abs=0.05)


def test_the_sum_of_the_numbers_earns_what_the_results_say():
    task = get_task(str(ROOT / "recipes" / "countdown.py"))
    rows = list(islice(task.path("test"), RESULTS["prompts"]))
    utilities = []
    for row in rows:
        total = sum(row["numbers"])
        close = max(0.0, 1 - abs(total - row["target"]) / row["target"])
        utilities.append(0.1 + 0.2 + 0.3 * close + 0.4 * (total == row["target"]))
    found = RESULTS["controls"]["sum of the numbers"]
    assert found["best@1"] == found["best@8"] == pytest.approx(sum(utilities) / len(rows))


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
