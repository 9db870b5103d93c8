"""Figures are those of the ledgers, differences paired, floors averaged."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from search.curves import best_so_far
from search.ledger import read_results
from tests.vpo.cli.toy_searches import toy_config
from vpo.cli.search_compare.command import compare_searches
from vpo.cli.search_compare.findings import Lead, lead, ranges
from vpo.cli.search_compare.measures import Grids, grids_of, measure
from vpo.cli.search_compare.runs import plan
from vpo.cli.search_compare.summary import pairs_of


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
