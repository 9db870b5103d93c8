"""What a comparison of searches is asked for, and what is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

from search.procedures import get_procedure
from tests.vpo.cli.search_compare.guide import GUIDE
from tests.vpo.cli.toy_searches import toy_config
from vpo.cli.app import main
from vpo.cli.search_compare.command import compare_searches
from vpo.cli.search_compare.config import Policy, Search, config_of, read_config
from vpo.cli.search_compare.policies import open_policy
from vpo.cli.search_compare.runs import problems_of


def test_best_of_n_is_always_there_and_comes_first(tmp_path):
    names = [search.name for search in toy_config(tmp_path).procedures]
    assert names == ["best_of_n", "evolution", "eager"]
    assert toy_config(tmp_path, procedures=None).procedures == (Search("best_of_n", "best_of_n"),)
    listed = toy_config(tmp_path, procedures=["evolution", "best_of_n"])
    assert [search.name for search in listed.procedures] == ["best_of_n", "evolution"]


def test_a_file_is_read_with_defaults_and_a_folder_of_its_own(tmp_path):
    path = tmp_path / "mazes.yaml"
    path.write_text(yaml.safe_dump({"problems": "maze", "policies": {"p": "some/model"}, "budget": 600}))
    config = read_config(path)
    assert config.out == Path("runs/search-compare/mazes")
    assert config.seeds == (0, 1, 2)
    assert config.problems[0].count is None
    assert config.policies == (Policy("p", "some/model"),)
    assert read_config(path, tmp_path / "x").out == tmp_path / "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": None}, r"budget is None: expected a whole number of 1 or more"),
        ({"budget": 10}, r"budget is 10 and a completion of sets may have 20 tokens"),
        ({"budget": True}, r"budget is True"),
        ({"buget": 3}, r"unknown keys buget: expected some of problems, policies"),
        ({"problems": []}, r"problems is empty"),
        ({"problems": {"count": 3}}, r"problems lacks name"),
        ({"problems": {"name": "maze", "counts": 3}}, r"problems has unknown keys counts"),
        ({"problems": {"name": "maze", "count": 0}}, r"problems.count is 0"),
        ({"problems": {"name": "maze", "options": {"name": "maze"}}}, r"problems.options has a name"),
        ({"policies": {"a": {"model": "m", "problem_options": {"name": "x"}}}}, r"a.problem_options has a name"),
        ({"policies": {}}, r"names no policy"),
        ({"policies": ["a"]}, r"policies holds list: expected a mapping"),
        ({"policies": {"a/b": "m"}}, r"named 'a/b': expected text without slashes"),
        ({"policies": {1: "m"}}, r"named 1: expected text"),
        ({"policies": {"a": {"server": "http://x"}}}, r"policies.a lacks model"),
        ({"policies": {"a": 3}}, r"policies.a holds int"),
        ({"procedures": {"best_of_n": {"procedure": "evolution"}}}, r"best_of_n is the procedure 'evolution'"),
        ({"procedures": "evolution"}, r"procedures holds str"),
        ({"seeds": [1, 1]}, r"expected every seed once"),
        ({"seeds": "three"}, r"seeds is 'three'"),
        ({"seeds": []}, r"seeds is \[\]"),
        ({"targets": ["most"]}, r"targets is 'most': expected a finite number"),
        (
            {"references": ["best"]},
            r"references is \['best'\]: expected names of policies, each once, out of single, sets",
        ),
        ({"references": []}, r"references is \[\]"),
        ({"temperature": math.inf}, r"temperature is inf"),
    ],
)
def test_a_configuration_that_is_none_is_refused_by_the_name_of_the_key(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        toy_config(tmp_path, **changes)
    with pytest.raises(ValueError, match="lacks problems, budget"):
        config_of({"policies": {}}, tmp_path)


def test_files_that_are_no_configuration_are_refused(tmp_path, capfd):
    assert main(["search", "compare", str(tmp_path / "none.yaml")]) == 1
    assert "there is no configuration" in capfd.readouterr().err
    (tmp_path / "list.yaml").write_text("- a\n")
    assert main(["search", "compare", str(tmp_path / "list.yaml")]) == 1
    assert "holds a list: expected keys and values" in capfd.readouterr().err
    (tmp_path / "broken.yaml").write_text("a: [")
    assert main(["search", "compare", str(tmp_path / "broken.yaml")]) == 1
    assert "this is not YAML" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"procedures": {"annealing": None}}, "there is no procedure 'annealing'"),
        ({"procedures": {"evolution": {"width": 3}}}, "'evolution' has"),
        ({"problems": {"name": "toy", "count": 9}}, "toy has 8 problems, expected 9"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_sampled(toys, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        compare_searches(toy_config(tmp_path, **changes), "toy")
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_policy_that_is_no_folder_is_refused_before_anything_is_sampled(tmp_path):
    with pytest.raises(ValueError, match=r"names \./nowhere/seed3, which is no folder"):
        open_policy(Policy("p", "./nowhere/seed{seed}"), 3, 8)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL))
def test_the_configurations_of_the_guide_are_some(block, tmp_path):
    raw = yaml.safe_load(block)
    config = config_of({key: value for key, value in raw.items() if key != "out"}, tmp_path)
    for policy in config.policies:
        found = problems_of(config, policy)
        assert len(found) == sum(source.count for source in config.problems)
        for search in config.procedures:
            assert get_procedure(search.procedure, found[0], **search.options)
