"""The page, the picture and the record of a depth report."""

from __future__ import annotations

import builtins
import dataclasses
import json
import re
from pathlib import Path

import pytest

from eval.depth import DepthReport
from eval.report.depth import charts, render, write_depth_report
from eval.report.depth.words import number, setting_lines
from tests.eval.depth_report.depth_example import LOOPS, example_depth_report, hostile_depth_report


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
    assert all("<img" not in label for trace in chart.spec["data"] for label in trace["y"])


def test_a_chart_marks_the_sweet_spot_and_its_interval() -> None:
    spec = charts.gain_charts(example_depth_report()).charts[0].spec
    band, line = spec["layout"]["shapes"]
    assert band["x0"] < 3 < 4 < band["x1"] and (line["x0"], line["x1"]) == (3, 3)


def test_a_logarithmic_axis_leaves_out_the_capped_outputs_distance_to_itself() -> None:
    spec = charts.gain_charts(example_depth_report()).charts[2].spec
    assert spec["layout"]["yaxis"]["type"] == "log"
    (capped,) = [trace for trace in spec["data"] if trace["meta"] == "to the capped output" and "marker" in trace]
    assert capped["y"][3] is None and capped["y"][0] == 0.40


def test_files_are_written_together_and_read_back(tmp_path: Path) -> None:
    report = example_depth_report()
    files = write_depth_report(report, tmp_path / "made")
    assert [path.name for path in files] == ["report.html", "report.json"]
    assert DepthReport.from_json(files[1].read_text()) == report


def test_a_picture_is_drawn_on_request(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `png`")
    (*_, picture) = write_depth_report(example_depth_report(), tmp_path, png=True)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000


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


def test_settings_are_spelled_as_calls_and_numbers_by_the_digits_that_matter() -> None:
    halting = {"kind": "fixed_point", "tol": 0.1, "cap": 4, "step_size": 0.5, "patience": 2}
    assert setting_lines({"depth_policy": halting}) == ["depth_policy = FixedPoint(tol=0.1, cap=4, step_size=0.5)"]
    assert setting_lines({"num_steps": 3, "scale_control": "match"}) == ["num_steps = 3", "scale_control = 'match'"]
    values = (None, 0.0, 2.71828, 0.00123, 12345.0)
    assert [number(each) for each in values] == ["–", "0.000", "2.718", "0.0012", "1.2e+04"]
