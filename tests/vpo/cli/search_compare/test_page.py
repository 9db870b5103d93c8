"""The page, the table and the guide that explains them."""

from __future__ import annotations

import json
import re

from eval.report.styles import arm_styles, policy_of, search_styles
from tests.vpo.cli.search_compare.guide import GUIDE
from vpo.cli.search_compare.command import print_searches
from vpo.record import RunFile


def test_charts_of_differences_begin_where_every_policy_has_had_room_for_a_completion(whole):
    report, _ = whole
    charts = {title: curves for (title, _, _), curves in report.charts.items() if " less that of " in title}
    assert len(charts) == 2
    for curves in charts.values():
        for curve in curves.values():
            assert 20 <= curve.x[0] < 26  # the longest completion has 20 tokens
            assert curve.x[-1] == 240
    assert min(min(each["grid"]) for each in report.details["differences_by_budget"]) < 20  # the numbers are all there


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
