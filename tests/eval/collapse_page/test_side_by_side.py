"""Several runs on one page: the same fill, the same axes, and a name for each."""

from __future__ import annotations

import dataclasses
import json
import math

from eval.collapse.run_report import CollapseReport
from eval.report.collapse import render
from eval.report.collapse.labels import palette
from eval.report.collapse.outcomes import accuracy_over_steps
from tests.eval.collapse_page import sample
from tests.eval.collapse_page.made_run import run_report
from tests.eval.collapse_page.reading import Page, small_plotly  # noqa: F401


def test_a_label_has_one_fill_in_every_run() -> None:
    page = Page(render(sample.several()))
    fills: dict[str, set[str]] = {}
    for spec in page.specs:
        for trace in spec["data"]:
            if trace.get("stackgroup"):
                fills.setdefault(trace["meta"], set()).add(trace["fillcolor"])
    assert len(fills) >= 9
    assert {len(colours) for colours in fills.values()} == {1}


def test_runs_side_by_side_share_their_axes() -> None:
    page = Page(render(sample.several()))
    stacks = [spec for spec in page.specs if spec["data"][0].get("stackgroup")][:3]
    assert len({json.dumps([spec["layout"][axis]["range"] for axis in ("xaxis", "yaxis")]) for spec in stacks}) == 1


def test_runs_of_different_length_share_their_logarithmic_axis_too() -> None:
    long, short = run_report("long", num_looks=30), run_report("short", num_looks=12)
    stacks = [s for s in Page(render(CollapseReport("two", [long, short]))).specs if s["data"][0].get("stackgroup")]
    assert [stack["log"]["range"] for stack in stacks[:2]] == [[math.log10(10), math.log10(300)]] * 2
    late = {"format": {label: each for label, each in long.looks[0].accuracy["format"].items() if label != "prose"}}
    looks = [dataclasses.replace(look, accuracy=late) if look.number < 10 else look for look in long.looks]
    group = accuracy_over_steps(dataclasses.replace(long, looks=looks), palette([long], "format"))
    assert len({json.dumps(chart.spec["log"]) for chart in group.charts}) == 1 < len(group.charts)


def test_every_run_has_a_name_of_its_own_and_none_that_of_the_base() -> None:
    runs = [run_report(name, num_looks=2) for name in ("a", "a (2)", "a", "base", "")]
    page = Page(render(CollapseReport("five", runs)))
    drawn = {trace["meta"] for spec in page.specs for trace in spec["data"] if trace.get("mode") == "lines+markers"}
    assert {"a", "a (2)", "a (3)", "base (2)", "run 5"} <= drawn
