"""`vpo search compare`: the door, resuming, figures against direct computation, and what the page and table say."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.report.styles import arm_styles, policy_of, search_styles
from search.curves import best_so_far
from search.ledger import read_ledger, read_results
from search.procedures import get_procedure
from tests.vpo.cli.toy_searches import toy_config, use_toys
from vpo.cli.app import main
from vpo.cli.search_compare.command import compare_searches, print_searches
from vpo.cli.search_compare.config import Policy, Search, config_of, read_config
from vpo.cli.search_compare.findings import Lead, lead, ranges
from vpo.cli.search_compare.measures import Grids, grids_of, measure
from vpo.cli.search_compare.policies import LazySampler, fingerprint, open_policy
from vpo.cli.search_compare.runs import plan, problems_of
from vpo.cli.search_compare.summary import pairs_of
from vpo.record import RunFile

ROOT = Path(__file__).parents[3]


@pytest.fixture
def toys(monkeypatch):
    use_toys(replace=monkeypatch.setattr)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished comparison, its report and its folder."""
    patch = pytest.MonkeyPatch()
    use_toys(replace=patch.setattr)
    out = tmp_path_factory.mktemp("whole")
    report = compare_searches(toy_config(out), "toy")
    patch.undo()
    return report, out


# --- the door ---


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
    assert "holds list: expected a mapping" in capfd.readouterr().err
    (tmp_path / "broken.yaml").write_text("a: [")
    assert main(["search", "compare", str(tmp_path / "broken.yaml")]) == 1
    assert "is no YAML" in capfd.readouterr().err


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


def test_a_task_gives_as_many_problems_as_were_asked_for_in_each_policys_wording(tmp_path):
    config = toy_config(tmp_path, problems={"name": "maze", "count": 3})
    single, sets = (problems_of(config, policy) for policy in config.policies)
    assert [p.num_answers for p in single] == [1] * 3
    assert [p.num_answers for p in sets] == [3] * 3
    assert [str(p.prompt).split("budget")[0] for p in single] == [str(p.prompt).split("budget")[0] for p in sets]


# --- policies ---


def test_a_model_is_known_by_its_content_not_by_its_place_or_date(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"\0" * 200_000 + b"end")
        (folder / "training_args.bin").write_text(str(folder))
    os.utime(other / "config.json", (0, 0))
    assert fingerprint(one) == fingerprint(other)
    (other / "model.safetensors").write_bytes(b"\0" * 200_000 + b"END")
    assert fingerprint(one) != fingerprint(other)
    sampler = open_policy(Policy("p", str(one)), 0, 8)
    assert sampler.describe() == {"name": "model", "files": fingerprint(one)}


def test_a_model_is_loaded_once_and_only_when_it_is_asked():
    made = []

    class Echo:
        def sample(self, requests):
            return list(requests)

    def make():
        made.append(1)
        return Echo()

    sampler = LazySampler({"name": "m"}, make)
    assert sampler.describe() == {"name": "m"}
    assert not made
    assert sampler.sample([1]) == [1] and sampler.sample([2]) == [2]
    assert made == [1]


def test_a_server_is_known_by_what_it_says_not_by_its_address():
    policy = Policy("p", "some/model", server={"base_url": "http://a:1/v1", "dialect": "vllm"})
    assert open_policy(policy, 0, 8).describe() == {"name": "server", "model": "some/model", "dialect": "vllm"}


# --- searches ---


def test_every_policy_procedure_and_seed_has_a_ledger_and_all_spend_alike(whole):
    _, out = whole
    config = toy_config(out)
    runs = plan(config)
    assert len(runs) == 2 * 3 * 2
    assert [(run.arm, run.seed) for run in runs[:4]] == [
        ("single / best-of-n", 3), ("single / evolution", 3), ("single / eager", 3), ("sets / best-of-n", 3),
    ]  # fmt: skip
    for run in runs:
        header, _ = read_ledger(run.ledger)
        assert header["config"]["seed"] == run.seed
        assert header["config"]["budget"]["max_completion_tokens"] == 240
        for result in read_results(run.ledger):
            assert 240 - config.longest(run.policy) < result.completion_tokens[-1] <= 240


def run_script(folder: Path, countdown: int = 0) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.vpo.cli.toy_searches", str(folder), str(countdown)]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False, stderr=subprocess.DEVNULL).returncode


def test_a_killed_comparison_goes_on_and_samples_nothing_twice(whole, tmp_path, monkeypatch):
    report, out = whole
    assert run_script(tmp_path, 60) == -signal.SIGKILL
    begun = len(list(tmp_path.rglob("*.jsonl")))
    assert 1 <= begun < 12
    assert run_script(tmp_path, 50) == -signal.SIGKILL
    assert run_script(tmp_path) == 0
    sampled = (tmp_path / "sampled.txt").read_text().splitlines()
    use_toys(tmp_path, monkeypatch.setattr)
    compare_searches(toy_config(tmp_path), "toy")  # all is there: nothing is sampled at all
    assert (tmp_path / "sampled.txt").read_text().splitlines() == sampled
    drawn = {path.relative_to(tmp_path): read_results(path) for path in sorted(tmp_path.rglob("*.jsonl"))}
    assert drawn == {path.relative_to(out): read_results(path) for path in sorted(out.rglob("*.jsonl"))}
    num_requests = sum(len(result.completion_tokens) for results in drawn.values() for result in results)
    assert len(sampled) == num_requests
    again = json.loads((tmp_path / "comparison.json").read_text())
    assert again["table"] == json.loads(report.to_json())["table"]


def test_another_comparison_does_not_go_on_in_the_same_folder(toys, tmp_path):
    small = {"problems": {"name": "toy", "count": 1}, "seeds": 1, "procedures": None}
    compare_searches(toy_config(tmp_path, **small), "toy")
    with pytest.raises(ValueError, match="belongs to a run with another configuration"):
        compare_searches(toy_config(tmp_path, **small, budget=300), "toy")


# --- figures ---


def test_figures_are_those_of_the_ledgers(whole):
    report, out = whole
    content = json.loads(report.to_json())
    for run in plan(toy_config(out)):
        results = read_results(run.ledger)
        row = content["details"]["searches"][run.arm]
        s = [3, 5].index(run.seed)
        best = best_so_far(results, [240])[:, 0]
        assert row["best"][s] == pytest.approx(best)
        assert row["signatures"][s] == [len({c.vector for c in r.candidates}) for r in results]
        assert row["answers"][s] == [r.answers[-1] for r in results]
        reached = [cost is not None for cost in row["tokens to 1"][s]]
        assert reached == (best >= 1 - 1e-9).tolist()
        if run.search.name != "best_of_n":
            heights = best_so_far(results, range(240)).mean(axis=1)
            assert row["AUC over tokens"][s] == pytest.approx(heights)
    for arm, row in content["table"].items():
        searches = content["details"]["searches"][arm]
        assert row["best"]["mean"] == pytest.approx(np.mean(searches["best"]))
        costs = [math.inf if c is None else c for by_seed in searches["tokens to 0.5"] for c in by_seed]
        assert row["reaches 0.5"]["mean"] == pytest.approx(np.mean(np.isfinite(costs)))
        middle = sorted(costs)[(len(costs) - 1) // 2]
        assert row["tokens of all, 0.5"]["mean"] == (None if math.isinf(middle) else middle)


def test_differences_are_paired_by_problem_and_seed(whole):
    report, _ = whole
    searches = report.details["searches"]
    pairs = list(dict.fromkeys((each.arm, each.against) for each in report.differences))
    assert pairs == [
        ("single / evolution", "single / best-of-n"),
        ("single / eager", "single / best-of-n"),
        ("sets / best-of-n", "single / best-of-n"),
        ("sets / evolution", "sets / best-of-n"),
        ("sets / evolution", "single / evolution"),
        ("sets / eager", "sets / best-of-n"),
        ("sets / eager", "single / eager"),
    ]
    for each in report.differences:
        if each.metric in searches[each.arm]:
            gaps = np.subtract(searches[each.arm][each.metric], searches[each.against][each.metric])
            assert each.mean == pytest.approx(gaps.mean())
            assert each.lo <= each.mean <= each.hi
            assert 0 < each.p <= 1


def test_policies_are_held_against_every_reference_and_none_against_itself(tmp_path):
    config = toy_config(tmp_path, references=["sets", "single"], procedures=None)
    assert [(pair.arm, pair.against) for pair in pairs_of(config)] == [
        ("single / best-of-n", "sets / best-of-n"),
        ("sets / best-of-n", "single / best-of-n"),
    ]


def test_the_floor_is_averaged_over_its_orders_and_ends_where_its_own_order_ends(whole):
    report, _ = whole
    charts = {title: curves for (title, _, _), curves in report.charts.items()}
    curve = charts["Fixed taste w*: best so far"]["single / best-of-n"]
    single = report.details["single_order"]["single / best-of-n"]["completion_tokens"]
    assert curve.mean != single
    assert curve.mean[-1] == pytest.approx(single[-1])
    assert np.mean(curve.mean) == pytest.approx(np.mean(single), abs=0.06)
    assert curve.x[:4] == [2.0, 3.0, 4.0, 5.0]  # small budgets in small steps
    evolved = charts["Fixed taste w*: best so far"]["single / evolution"]
    assert evolved.mean == pytest.approx(report.details["single_order"]["single / evolution"]["completion_tokens"])


def test_charts_of_differences_begin_where_every_policy_has_had_room_for_a_completion(whole):
    report, _ = whole
    charts = {title: curves for (title, _, _), curves in report.charts.items() if " less that of " in title}
    assert len(charts) == 2
    for curves in charts.values():
        for curve in curves.values():
            assert 20 <= curve.x[0] < 26  # the longest completion has 20 tokens
            assert curve.x[-1] == 240
    assert min(min(each["grid"]) for each in report.details["differences_by_budget"]) < 20  # the numbers are all there


def test_areas_over_answers_end_where_every_arm_has_answers(whole):
    _, out = whole
    results = {run.arm: [read_results(run.ledger)] for run in plan(toy_config(out)) if run.seed == 3}
    grids = grids_of(results, 240, 0.0, 0.0)
    means = [np.mean([r.answers[-1] for r in found[0]]) for found in results.values()]
    assert grids.limits["answers"] == math.floor(min(means))
    assert grids.points["answers"][-1] == math.ceil(max(means))
    assert grids.points["completion_tokens"][-1] == 240


def test_a_policy_that_never_answers_is_measured_and_said(tmp_path, toys, monkeypatch):
    from tests.search.toy_problem import ToyProblem, toy_sampler
    from tests.vpo.cli.toy_searches import Logged
    from vpo.cli.search_compare import runs

    def mute(policy, seed, batch_size):
        problem = ToyProblem("any", num_answers=3)
        return Logged(toy_sampler(problem, failure=1.0 if policy.name == "mute" else 0.0), policy.name, None)

    monkeypatch.setattr(runs, "open_policy", mute)
    config = toy_config(tmp_path, policies={"loud": "any", "mute": "any"}, seeds=1, procedures=["evolution"])
    report = compare_searches(config, "toy")
    row = report.table["mute / evolution"]
    assert row["best"].mean == 0.0
    assert row["hypervolume"].mean == 0.0
    assert row["duplicates"].mean is None
    assert row["tokens of all, 0.5"].text == "> 240"
    assert row["tokens of those, 0.5"].text == "–"
    assert any("No answer could be read of mute / best-of-n" in note for note in report.notes)
    assert json.loads((tmp_path / "comparison.json").read_text())["details"]["searches"]["mute / evolution"]


def test_measure_takes_searches_without_answers():
    from search.records import SearchResult

    grids = Grids({"completion_tokens": np.array([1.0, 5.0]), "answers": np.array([1.0])},
                  {"completion_tokens": 5.0, "answers": 1.0}, floor=-1.0)  # fmt: skip
    for independent in (True, False):
        arm = measure([[SearchResult.from_results("p", [])]], grids, independent)
        assert arm.figures["best"].tolist() == [[-1.0]]
        assert arm.figures["AUC over tokens"].tolist() == [[-1.0]]
        assert arm.costs([0.0]).tolist() == [[math.inf]]


# --- what is said ---


def test_budgets_at_which_a_curve_is_not_above_are_named():
    grid = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    a = np.array([[[0.0, 0.1, 0.2, 0.3, 0.4]] * 12] * 2)
    b = np.array([[[0.0, 0.2, 0.2, 0.2, 0.2]] * 12] * 2)
    found = lead(a, b, grid)
    assert found.sentence("VPO", "GRPO", "tokens") == (
        "VPO lies above GRPO at 2 of 5 budgets of tokens: below at 20, level at 10, 30. The 95% interval excludes 0 "
        "above at 40 to 50, below at 20."
    )
    nothing = np.full(5, np.nan)
    assert Lead(grid, np.ones(5), nothing, nothing).sentence("a", "b", "tokens") == (
        "a lies above b at all 5 budgets. The 95% interval excludes 0 nowhere."
    )


@pytest.mark.parametrize(
    ("mask", "text"),
    [([1, 1, 0, 1], "1 to 2, 4,000"), ([0, 0, 0, 0], ""), ([1, 1, 1, 1], "1 to 4,000"), ([0, 1, 0, 0], "2")],
)
def test_neighbouring_costs_are_joined(mask, text):
    assert ranges(np.array([1.0, 2.0, 3.0, 4000.0]), np.array(mask, dtype=bool)) == text


def test_the_page_and_the_numbers_are_written_and_the_table_is_printed(whole, capsys):
    report, out = whole
    record = RunFile(out).read()
    assert record["kind"] == "compare" and record["ended"]["step"] == record["ended"]["of"] > 0
    page = (out / "comparison.html").read_text()
    assert "Search at equal generated tokens" in page
    for arm, row in report.table.items():
        assert arm in page
        for cell in row.values():
            assert cell.text.replace(">", "&gt;") in page
    for each in report.differences:
        assert all(part.replace("<", "&lt;") in page for part in each.parts)
    numbers = json.loads((out / "comparison.json").read_text())
    assert len(numbers["charts"]) == 6
    assert [each["not_above"] for each in numbers["details"]["differences_by_budget"]]
    print_searches(report)
    printed = capsys.readouterr().out
    for words in ("single", "sets", "evolution", "AUC over tokens", "lies above", "p over problems"):
        assert words in printed


def test_as_many_procedures_as_there_are_look_different():
    arms = [f"{policy} / p{i}" for policy in ("a", "b") for i in range(11)]
    styles = search_styles(arms, arm_styles(policy_of(arm) for arm in arms))
    assert len({(style.colour, style.dash, style.symbol) for style in styles.values()}) == 22


# --- the guide ---

GUIDE = (ROOT / "docs" / "search-compare.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL))
def test_the_configurations_of_the_guide_are_some(block, tmp_path):
    raw = yaml.safe_load(block)
    config = config_of({key: value for key, value in raw.items() if key != "out"}, tmp_path)
    for policy in config.policies:
        found = problems_of(config, policy)
        assert len(found) == sum(source.count for source in config.problems)
        for search in config.procedures:
            assert get_procedure(search.procedure, found[0], **search.options)


def test_the_guide_explains_every_figure_that_is_printed(whole):
    report, _ = whole
    explained = re.findall(r"^\| ([^|]+?) \|", GUIDE, re.MULTILINE)
    for name in next(iter(report.table.values())):
        if name in ("answers", "tokens"):
            continue
        stem = re.sub(r"(reaches|tokens of those,|tokens of all,) .*", r"\1 T", name)
        assert any(
            stem in each.replace("over tokens, over answers", "over tokens AUC over answers") for each in explained
        )
