"""The report's charts: what Plotly is given, which style an arm gets, how a drawing is made to scale."""

from __future__ import annotations

import html
import json
import math
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from eval.report import Curve, DemoReport, LookPoint, render
from eval.report.charts import line_chart, look_curve, plotly_text, share_chart
from eval.report.page import scalable_svg
from eval.report.styles import area_styles, arm_styles, search_styles
from tests.eval.report_example import example_report, hostile_report


def specs_of(report: DemoReport) -> list[dict[str, Any]]:
    found = re.findall(r'data-spec="([^"]*)"', render(report))
    return [json.loads(html.unescape(spec)) for spec in found]


@pytest.fixture(scope="module")
def specs() -> list[dict[str, Any]]:
    return specs_of(example_report())


@pytest.fixture(scope="module")
def hostile_specs() -> list[dict[str, Any]]:
    return specs_of(hostile_report())


# --- charts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["specs", "hostile_specs"])
def test_plotly_knows_every_setting_of_every_chart(which: str, request: pytest.FixtureRequest) -> None:
    specs = request.getfixturevalue(which)
    assert len(specs) >= 8
    for spec in specs:
        plain = json.loads(re.sub(r'"c:[a-z]+(/[0-9.]+)?"', '"#123456"', json.dumps(spec)))
        figure = go.Figure(plain, skip_invalid=False)  # raises for a name or a value that Plotly does not know
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text


def test_every_colour_name_stands_in_the_style_sheet(
    specs: list[dict[str, Any]], hostile_specs: list[dict[str, Any]]
) -> None:
    css = (Path(__file__).parents[2] / "eval" / "templates" / "report.css").read_text(encoding="utf-8")
    names = set(re.findall(r'"c:([a-z]+)(?:/[0-9.]+)?"', json.dumps(specs + hostile_specs)))
    names |= {style.colour for style in area_styles(str(number) for number in range(40)).values()}
    names |= {style.colour for style in arm_styles(str(number) for number in range(40)).values()}
    assert {name for name in names if f"--c-{name}:" not in css and f"--{name}:" not in css} == set()


def test_a_gap_stays_a_gap_and_a_lonely_point_gets_a_marker() -> None:
    curve = Curve([1, 2, 4, 8, 16], [0.1, 0.2, None, 0.4, None])
    (line,) = line_chart({"VPO": curve}, arm_styles(["VPO"]), "k", "reward", counts_on_log_x=True)["data"]
    assert line["y"] == [0.1, 0.2, None, 0.4, None]
    assert [size > 0 for size in line["marker"]["size"]] == [True, True, False, True, False]


def test_a_band_is_the_outline_of_its_measured_edges() -> None:
    curve = Curve([1, 2, 3], [0.5, 0.5, 0.5], [0.4, None, 0.3], [0.6, 0.6, 0.7])
    band, line = line_chart({"VPO": curve}, arm_styles(["VPO"]), "k", "reward")["data"]
    assert (band["x"], band["y"]) == ([1, 3, 3, 1], [0.6, 0.7, 0.3, 0.4])
    assert band["meta"] == line["meta"] == "VPO"


def test_a_band_breaks_where_its_line_does() -> None:
    curve = Curve([1, 2, 3, 4, 5], [0.5, 0.5, None, 0.5, 0.6], [0.4, 0.3, 0.1, 0.2, 0.5], [0.6, 0.7, 0.9, 0.8, 0.9])
    band = line_chart({"VPO": curve}, arm_styles(["VPO"]), "k", "reward")["data"][0]
    assert band["x"] == [1, 2, 2, 1, None, 4, 5, 5, 4]
    assert band["y"] == [0.6, 0.7, 0.3, 0.4, None, 0.8, 0.9, 0.5, 0.2]


def test_a_logarithmic_axis_has_whole_numbers_within_its_range() -> None:
    curve = Curve([1, 30], [0.1, 0.2])
    axis = line_chart({"a": curve}, arm_styles(["a"]), "k", "r", counts_on_log_x=True)["layout"]["xaxis"]
    assert (axis["type"], axis["tickvals"]) == ("log", [1, 2, 3, 5, 10, 20, 30])
    zero = line_chart({"a": Curve([0, 30], [0.1, 0.2])}, arm_styles(["a"]), "k", "r", counts_on_log_x=True)
    assert "type" not in zero["layout"]["xaxis"], "zero has no place on a logarithmic axis"


def test_shares_of_a_single_look_are_a_bar_and_of_several_are_areas() -> None:
    looks = [LookPoint(step, 1.0, 2.0, 0.5, 0.6, {"a": 0.25, "b": 0.75 if step else None}) for step in (0, 10)]
    styles = area_styles(["a", "b"])
    single = share_chart(looks[:1], styles, lambda look: look.shares, (0, 10))
    several = share_chart(looks, styles, lambda look: look.shares, (0, 10))
    assert [trace["type"] for trace in single["data"]] == ["bar", "bar"]
    assert [trace["stackgroup"] for trace in several["data"]] == ["one", "one"]
    assert several["data"][1]["y"] == [0.0, 0.75]
    assert several["layout"]["xaxis"]["range"] == [0, 10]


def test_neighbouring_share_charts_have_the_same_axes(specs: list[dict[str, Any]]) -> None:
    stacks = [spec for spec in specs if spec["data"][0].get("stackgroup")]
    assert len(stacks) == 4
    assert {json.dumps([spec["layout"][axis]["range"] for axis in ("xaxis", "yaxis")]) for spec in stacks} == {
        "[[0, 150], [0, 1]]"
    }


def test_look_curves_hold_one_value_for_each_step() -> None:
    looks = [LookPoint(0, 1.0, 9.0, 0.5, 0.6), LookPoint(10, math.nan, 8.0, 0.5, 0.6)]
    assert look_curve(looks, "pool_l1") == Curve([0, 10], [1.0, None])


# --- styles -----------------------------------------------------------------------------------------------------------


def test_arms_have_styles_of_their_own_whatever_their_number() -> None:
    names = ["base", "GRPO", "VPO", "blind", "oracle", "VPO, shuffled prompts", "GRPO, shuffled prompts", "VPO, cold"]
    names += [f"arm {number}" for number in range(12)]
    styles = arm_styles(names)
    assert len(set(styles.values())) == len(names)
    assert styles["VPO, shuffled prompts"].colour == styles["VPO"].colour


def test_an_arm_keeps_its_style_when_others_come_and_go() -> None:
    assert arm_styles(["VPO", "GRPO"])["VPO"] == arm_styles(["x", "y", "base", "VPO"])["VPO"]


def test_search_curves_have_the_policys_colour_and_the_procedures_dash() -> None:
    arms = arm_styles(["GRPO", "VPO"])
    styles = search_styles(["GRPO / best of n", "GRPO / archive", "VPO / archive"], arms)
    assert styles["VPO / archive"].colour == arms["VPO"].colour
    assert styles["VPO / archive"].dash == styles["GRPO / archive"].dash != styles["GRPO / best of n"].dash


def test_thirty_kinds_of_answer_have_fills_of_their_own() -> None:
    assert len(set(area_styles(str(number) for number in range(30)).values())) == 30


# --- drawings ---------------------------------------------------------------------------------------------------------


def test_a_drawing_of_fixed_size_is_made_to_scale() -> None:
    assert scalable_svg('<?xml version="1.0"?><svg width="300" height="200px"><g/></svg>') == (
        '<svg viewBox="0 0 300 200"><g/></svg>'
    )


def test_a_drawing_that_scales_keeps_its_view_box() -> None:
    assert scalable_svg('<svg viewBox="0 0 5 5" width="9" height="9"></svg>') == '<svg viewBox="0 0 5 5"></svg>'


def test_a_panel_without_a_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an <svg> element"):
        scalable_svg("maze.svg")


# --- names -----------------------------------------------------------------------------------------------------------


def test_hostile_names_stay_text_in_charts(hostile_specs: list[dict[str, Any]]) -> None:
    names = {trace["name"] for spec in hostile_specs for trace in spec["data"]}
    assert "&lt;script&gt;window.broken = 1&lt;/script&gt;" in names
    assert not any("<" in name or "%{" in name for name in names)


def test_only_chart_text_that_plotly_would_read_as_markup_changes() -> None:
    assert plotly_text("VPO, α = 1/4 (30 %)") == "VPO, α = 1/4 (30 %)"
    assert plotly_text("a<b & %{y}") == "a&lt;b &amp; %\u200b{y}"
    assert plotly_text("c:blue") == "\u200bc:blue", "the page's script takes it for a colour"
