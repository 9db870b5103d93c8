"""The format-diversity page without a browser: escaped, free of NaN, complete, and clear about what it lacks."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
from hypothesis import given, settings

from eval.collapse.json_form import from_json, to_json
from eval.collapse.records import AlarmRecord, LookRecord, Range
from eval.collapse.run_report import CollapseReport
from eval.report.collapse import markdown, render, write_report
from eval.report.collapse.drawn import MOST_LOOKS, alarm_starts, drawing_notes, drawn_looks, marked_alarms
from eval.report.collapse.labels import MOST_LABELS, palette
from eval.report.collapse.wording import GLOSSARY, VERDICTS
from tests.eval.collapse_page import sample
from tests.eval.collapse_page.random_reports import reports
from tests.eval.collapse_page.reading import Page, small_plotly  # noqa: F401

# --- laws of any report -----------------------------------------------------------------------------------------------


@given(reports)
@settings(max_examples=30)
def test_any_report_is_drawn_and_survives_json(report: CollapseReport) -> None:
    page = Page(render(report))  # refuses NaN and infinity in charts
    assert page.count("main") == 1
    assert markdown(report)
    assert from_json(CollapseReport, to_json(report)) == report


@given(reports)
@settings(max_examples=20)
def test_no_text_of_a_report_becomes_markup(report: CollapseReport) -> None:
    page = Page(render(report))
    assert page.count("script") in (0, 2)
    assert page.count("style") == page.count("link") == 1
    assert page.count("i") == page.count("img") == page.count("iframe") == page.count("object") == 0
    assert all("src" not in attributes and "onload" not in attributes for _, attributes in page.tags)


def test_hostile_names_stay_text() -> None:
    page = Page(render(sample.hostile()))
    assert page.count("script") == 2
    assert page.text.count(sample.HOSTILE) >= 25


def test_a_number_that_is_not_finite_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = sample.collapse().runs[0]
    looks = [*run.looks[:-1], dataclasses.replace(run.looks[-1], entropy=math.nan, truncated=math.inf)]
    broken = CollapseReport("broken", [dataclasses.replace(run, looks=looks)])
    with pytest.raises(ValueError, match="None for what was not measured"):
        write_report(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not re.search(r"\b(nan|inf)\b", Page(render(broken)).text, flags=re.IGNORECASE)


def test_a_report_without_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one at least"):
        render(CollapseReport("empty", []))


# --- charts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["collapse", "several", "hostile", "one-look", "many"])
def test_plotly_knows_every_setting_of_every_chart(name: str) -> None:
    page = Page(render(sample.SCENARIOS[name]()))
    assert len(page.specs) >= 15
    for spec in page.specs:
        plain = json.loads(re.sub(r'"c:[a-z]+(/[0-9.]+)?"', '"#123456"', json.dumps(spec)))
        log = plain.pop("log", {})
        figure = go.Figure(plain, skip_invalid=False)  # raises for a name or a value that Plotly does not know
        assert figure.layout.xaxis.title.text
        figure.update_layout(xaxis=log)


def test_a_long_run_is_thinned_to_what_a_screen_can_show_and_says_so() -> None:
    run = sample.very_long().runs[0]
    drawn = drawn_looks(run)
    assert len(run.looks) == 2000
    assert len(drawn) <= MOST_LOOKS + 12
    numbers = [look.number for look in drawn]
    assert numbers == sorted(set(numbers))
    assert {1, 2000, run.alarms[0].look} <= set(numbers)
    early, late = [sum(low < n <= low + 100 for n in numbers) for low in (0, 1900)]
    assert early > 3 * late, "collapse is often over early"
    page = Page(render(CollapseReport("long", [run])))
    assert "of 2,000 looks are drawn" in page.text
    assert max(len(trace["x"]) for spec in page.specs for trace in spec["data"]) <= 2 * (MOST_LOOKS + 12)


def test_a_short_run_is_drawn_whole() -> None:
    run = sample.collapse().runs[0]
    assert drawn_looks(run) == run.looks


def test_of_many_labels_the_once_largest_are_drawn_and_the_others_as_one() -> None:
    few = {f"rare {number}": Range(0.01) for number in range(20)}
    # "given up" is gone in all looks but the first: by its mean alone it would count as rare.
    first = {"winner": Range(0.3), "given up": Range(0.5), **few}
    later = {"winner": Range(0.8), "given up": Range(0.0), **few}
    looks = [LookRecord(n, n, None, 8, 64, shares={"format": first if n == 1 else later}) for n in range(1, 400)]
    run = dataclasses.replace(sample.collapse().runs[0], base=None, looks=looks)
    found = palette([run], "format")
    assert len(found.styles) == MOST_LABELS == len(set(found.styles.values()))
    assert {"winner", "given up"} <= set(found.styles)
    assert found.pooled == "11 rarer labels"
    assert sum(found.shares_of(looks[0]).values()) == pytest.approx(1.0)


def test_alarms_are_marked_in_every_chart_over_steps() -> None:
    report = sample.collapse()
    steps = {alarm.step for alarm in alarm_starts(report.runs[0].alarms)}
    charts = [s for s in Page(render(report)).specs if s["layout"]["xaxis"]["title"]["text"] == "training step"]
    assert len(charts) >= 15
    for spec in charts:
        assert steps <= {shape["x0"] for shape in spec["layout"].get("shapes", [])}


def test_the_settings_at_an_alarm_stand_in_its_mark() -> None:
    specs = Page(render(sample.collapse())).specs
    (mark,) = [trace for spec in specs for trace in spec["data"] if trace["name"] == "alarm"]
    assert "learning_rate = " in mark["text"][0]
    assert "beta = 0.001" in mark["text"][0]


def alarm(look: int, level: str) -> AlarmRecord:
    return dataclasses.replace(sample.collapse().runs[0].alarms[0], look=look, level=level)


def test_a_series_of_alarms_begins_once_and_becomes_critical_once() -> None:
    levels = ["warning", "critical", "warning", "critical"]
    alarms = [*(alarm(number, level) for number, level in enumerate(levels, start=3)), alarm(9, "warning")]
    assert [(each.look, each.level) for each in alarm_starts(alarms)] == [
        (3, "warning"),
        (4, "critical"),
        (9, "warning"),
    ]


def test_alarms_that_lie_too_near_are_marked_once_but_never_without_the_first_critical_one() -> None:
    looks = [LookRecord(number, number, None, 8, 64) for number in range(1, 1002)]  # 2% of the run is 20 steps
    places = [(100, "warning"), (110, "warning"), (115, "critical"), (117, "critical"), (140, "warning")]
    alarms = [dataclasses.replace(alarm(look, level), step=look) for look, level in places]
    run = dataclasses.replace(sample.collapse().runs[0], looks=looks, alarms=alarms)
    assert [each.step for each in marked_alarms(run)] == [100, 115, 140]
    assert "Charts mark 3 of 5 beginnings of alarms" in " ".join(drawing_notes(run))


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_a_headline(verdict: str) -> None:
    report = sample.one_look()
    page = Page(render(CollapseReport("t", [dataclasses.replace(report.runs[0], verdict=verdict)])))
    assert VERDICTS[verdict].headline in page.text
    assert report.runs[0].why in page.text


def test_silence_says_how_near_it_came_what_one_look_shows_and_what_it_rests_on() -> None:
    page = Page(render(sample.healthy()))
    run = sample.healthy().runs[0]
    assert "No alarm in 20 looks" in page.text
    assert "an alarm needs 3.0" in page.text
    assert "a single look would have been enough for a rise of" in page.text
    assert run.guarantee in page.text
    assert run.assumptions[0] in page.text
    assert "Silence is no proof" in page.text


def test_an_alarm_says_all_that_is_needed_to_judge_it() -> None:
    report = sample.collapse()
    page = Page(render(report))
    first = report.runs[0].alarms[0]
    for text in (first.sentence, first.guarantee, first.assumption, first.why, "step 60, epoch 0.9, look 6"):
        assert text in page.text
    assert "beta: 0.001 → 0.01" in page.text
    assert "learning_rate: ? → 5e-07" in page.text, "a value that is not known is not called None"
    assert "Moderate evidence" in page.text
    assert "temperature = 1" in page.text
    assert "A KL term can cost reward" in page.text


def test_what_is_missing_is_said_and_draws_no_empty_chart() -> None:
    page = Page(render(sample.no_correctness()))
    assert "Nothing says which samples are correct" in page.text
    assert all(spec["data"] for spec in page.specs)
    without_base = Page(render(sample.no_base()))
    assert "There are no samples of the base model" in without_base.text
    assert "the bar at the left is the base model" not in without_base.text
    assert "Dotted: the base model" not in without_base.text


def test_a_run_without_any_look_is_a_page() -> None:
    run = dataclasses.replace(
        sample.collapse().runs[0],
        base=None,
        looks=[],
        alarms=[],
        forecast=None,
        examples=[],
        verdict="insufficient data",
    )
    page = Page(render(CollapseReport("nothing", [run])))
    assert "No look was taken" in page.text
    assert page.specs == []
    assert page.count("script") == 0


def test_long_samples_are_cut_and_can_be_opened() -> None:
    source = render(sample.collapse())
    assert re.search(r"<summary>Show all 1,\d+ characters</summary>", source)


def test_every_measure_is_explained() -> None:
    text = Page(render(sample.collapse())).text
    assert all(meaning in text for _, meaning in GLOSSARY)


def test_every_chart_says_in_words_what_it_shows() -> None:
    page = Page(render(sample.collapse()))
    plots = [attributes for _, attributes in page.tags if attributes.get("class") == "plot"]
    assert len(plots) == len(page.specs)
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    assert "python function 34.6% to 98.0%" in (plots[0]["aria-label"] or "")
