"""The page, the picture and the record of a depth report."""

from __future__ import annotations

import builtins
import dataclasses
import json
import math
import os
import re
from pathlib import Path

import pytest

from eval.depth import DepthReport, measure_depth
from eval.depth.record import GroupRecord, Series
from eval.report.depth import charts, render, write_depth_report
from eval.report.depth.words import loop_rows, number, setting_lines
from tests.eval.depth_report.depth_example import LOOPS, example_depth_report, hostile_depth_report, series
from vpo.looped import FixedDepth, FixedPoint
from vpo.looped.depth import KLExit, RandomDepth, to_dict


def test_the_page_leads_with_the_verdict_and_the_setting_to_change() -> None:
    page = render(example_depth_report())
    start = page.index('id="verdict"')
    assert page.index("<h1>") < start < page.index("FixedDepth(num_loops=3)") < page.index('id="gain"')
    assert "3 loops" in page and "95% interval 3 to 4" in page
    assert 'src="http' not in page and "@import" not in page


def test_every_table_has_a_row_a_loop_or_a_tolerance() -> None:
    page = render(example_depth_report())
    loops = page[page.index('id="figures"') : page.index('id="words"')]
    assert loops.count("<tr>") == LOOPS + 1
    assert "2.710 [2.690, 2.730]" in loops
    curve = page[page.index('id="calibration"') : page.index('id="depths"')]
    assert curve.count("<tr>") == 3 + 1 and "0.1 (chosen)" in curve


def test_names_are_text_and_never_markup() -> None:
    page = render(hostile_depth_report())
    assert not re.search(r"<img src=x", page)
    (chart,) = charts.depth_charts(hostile_depth_report()).charts
    labels = chart.spec["layout"]["yaxis"]["ticktext"] + [
        text for trace in chart.spec["data"] for text in trace["text"]
    ]
    assert labels and all("<img" not in label for label in labels)


def test_kinds_that_look_alike_once_they_are_cut_keep_a_bar_of_their_own() -> None:
    names = ["a rather long name: one", "a rather long name: two", "c:blue"]
    shares = (0.1, 0.2, 0.3)
    rows = [GroupRecord(name, 10, 1.5, [x, 1 - x], 1.0, 2.0) for name, x in zip(names, shares, strict=True)]
    report = dataclasses.replace(example_depth_report(), groups={"format": rows})
    (chart,) = charts.depth_charts(report).charts
    first, _ = chart.spec["data"]
    axis = chart.spec["layout"]["yaxis"]
    label_at = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    found = {name: (label_at[y], x) for name, y, x in zip(first["text"], first["y"], first["x"], strict=True)}
    assert found == {
        names[0]: ("a rather long nam…", 0.1),
        names[1]: ("a rather long nam… (2)", 0.2),
        "\u200bc:blue": ("\u200bc:blue", 0.3),
    }
    assert axis["tickvals"] == sorted(axis["tickvals"]) and first["y"][-1] == max(first["y"]), "the first kind on top"


def test_a_chart_marks_the_sweet_spot_and_its_interval() -> None:
    spec = charts.gain_charts(example_depth_report()).charts[0].spec
    band, line = spec["layout"]["shapes"]
    assert band["x0"] < 3 < 4 < band["x1"] and (line["x0"], line["x1"]) == (3, 3)


def test_a_logarithmic_axis_leaves_out_the_capped_outputs_distance_to_itself() -> None:
    spec = charts.gain_charts(example_depth_report()).charts[2].spec
    assert spec["layout"]["yaxis"]["type"] == "log"
    capped, band = [
        next(each for each in spec["data"] if each["meta"] == "to the capped output" and ("marker" in each) == is_line)
        for is_line in (True, False)
    ]
    assert capped["y"][3] is None and capped["y"][0] == 0.40
    # Two outlines, before the cap and after it; where an interval reaches 0 it goes down to the smallest number shown.
    assert band["x"] == [1, 2, 3, 3, 2, 1, None, 5, 6, 6, 5]
    assert band["y"] == pytest.approx([0.6, 0.29, 0.22, 0.01, 0.01, 0.2, None, 0.215, 0.25, 0.01, 0.01], nan_ok=True)


def test_files_are_written_together_and_read_back(tmp_path: Path) -> None:
    report = example_depth_report()
    files = write_depth_report(report, tmp_path / "made")
    assert [path.name for path in files] == ["report.html", "report.json"]
    assert DepthReport.from_json(files[1].read_text()) == report


def test_a_picture_is_drawn_on_request(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `png`")
    (*_, picture) = write_depth_report(example_depth_report(), tmp_path, png=True)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000


def test_a_picture_shows_zeros_where_its_axis_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `png`")
    from eval.report.depth import picture

    figures: list = []
    monkeypatch.setattr(picture, "png_of", figures.append)
    example = example_depth_report()
    changed = {"accuracy": series(0.0, 0.1, None, 0.0, 0.2, 0.3), "residual": series(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)}
    picture.draw_picture(dataclasses.replace(example, series=example.series | changed))
    drawn = {axes.get_title("left"): [line.get_ydata() for line in axes.lines] for axes in figures[0].axes}
    assert drawn["Right predictions"][0].tolist() == pytest.approx([0.0, 0.1, math.nan, 0.0, 0.2, 0.3], nan_ok=True)
    assert drawn["Residual"][0].tolist() == [0.0] * 6
    capped = drawn["KL (nats a token)"][1].tolist()
    assert capped == pytest.approx([0.40, 0.09, 0.02, math.nan, 0.015, 0.05], nan_ok=True)


def test_a_picture_that_cannot_be_written_leaves_the_former_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("eval.report.depth.picture.draw_picture", lambda report: b"new")
    (tmp_path / "report.png").write_bytes(b"former")
    replace = os.replace

    def full(source, target):
        if str(target).endswith(".png"):
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_depth_report(example_depth_report(), tmp_path, png=True)
    assert (tmp_path / "report.png").read_bytes() == b"former" and not list(tmp_path.glob(".*"))


def test_without_matplotlib_nothing_is_written_and_the_error_says_what_to_install(tmp_path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'vpo\[png\]'"):
        write_depth_report(example_depth_report(), tmp_path / "made", png=True)
    assert not (tmp_path / "made").exists()


def test_a_file_in_the_folders_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("mine")
    with pytest.raises(FileExistsError, match="expected a folder"):
        write_depth_report(example_depth_report(), tmp_path / "made")
    assert (tmp_path / "made").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw | {"schema": 0}, "depth report schema 0: expected 1"),
        (lambda raw: [raw], "depth report schema None"),
        (lambda raw: raw | {"more": 1}, "unknown fields"),
        (lambda raw: {name: value for name, value in raw.items() if name != "loops"}, "lacks"),
    ],
)
def test_a_record_of_another_form_is_refused(change, said: str) -> None:
    raw = json.loads(example_depth_report().to_json())
    with pytest.raises(ValueError, match=said):
        DepthReport.from_json(json.dumps(change(raw)))


def test_what_is_no_json_is_refused_and_a_number_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        DepthReport.from_json("{")
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(example_depth_report(), seconds=float("nan")).to_json()


def test_gains_without_intervals_are_a_column_like_any_other() -> None:
    report = dataclasses.replace(example_depth_report(), step_gains=Series([0.30, 0.09, 0.005, -0.015, -0.03]))
    assert [row["gain"] for _, row in loop_rows(report)] == ["–", "0.300", "0.09", "0.005", "-0.015", "-0.03"]


def test_a_report_without_a_title_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ValueError, match="title is ' '"):
        measure_depth(None, [], None, title=" ")
    with pytest.raises(ValueError, match="title is ''"):
        dataclasses.replace(example_depth_report(), title="")


def test_settings_are_spelled_as_calls_and_numbers_by_the_digits_that_matter() -> None:
    halting = FixedPoint(tol=0.1, step_size=0.5)
    assert setting_lines({"depth_policy": to_dict(halting)}) == [
        "depth_policy = FixedPoint(tol=0.1, cap=4, step_size=0.5)"
    ]
    all_changed = FixedPoint(0.2, 6, 2, "max", 3, 0.8, 0.7, 0.01, "current", "prefix")
    for policy in (all_changed, FixedDepth(3), RandomDepth(1, 6), KLExit(0.02, 5)):
        (line,) = setting_lines({"depth_policy": to_dict(policy)})
        assert eval(line.removeprefix("depth_policy = ")) == policy, "nothing is left out"
    assert setting_lines({"num_steps": 3, "scale_control": "match"}) == ["num_steps = 3", "scale_control = 'match'"]
    values = (None, 0.0, 2.71828, 0.00123, 12345.0)
    assert [number(each) for each in values] == ["–", "0.000", "2.718", "0.0012", "1.2e+04"]
