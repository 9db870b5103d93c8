"""What a report holds: it survives JSON, refuses what it cannot mean, and reaches the disk whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.report import Curve, DemoReport, Figure, LookPoint, SearchCurve, TableRow, Verdict, write
from tests.eval.report_example import example_report, hostile_report

EMPTY = DemoReport(title="nothing yet", command="vpo demo", created="2026-01-01", seed=0, hardware="")


@pytest.mark.parametrize("report", [example_report(), hostile_report(), EMPTY], ids=["example", "hostile", "empty"])
def test_a_report_survives_json(report: DemoReport) -> None:
    assert DemoReport.from_json(report.to_json()) == report


numbers = st.none() | st.floats(width=32) | st.integers(-5, 5)


@given(
    st.lists(st.tuples(st.integers(0, 9), numbers, numbers), max_size=5),
    st.text(max_size=8),
    st.lists(st.text(max_size=5)),
)
def test_any_report_survives_json(points: list[tuple[float, Any, Any]], name: str, notes: list[str]) -> None:
    x, mean, edge = ([point[column] for point in points] for column in range(3))
    curve = Curve(x, mean, edge, edge)
    looks = {name: [LookPoint(3, value, value, 1, 0, {name: value}) for value in mean]}
    row = TableRow(name, dict.fromkeys([name], edge[0] if edge else None))
    report = dataclasses.replace(
        EMPTY, best_at_k={name: curve}, search={name: SearchCurve(curve, curve)}, looks=looks, table=[row], notes=notes
    )
    assert DemoReport.from_json(report.to_json()) == report


def test_what_is_not_a_number_becomes_none() -> None:
    assert Curve([1, 2, 3], [math.nan, math.inf, 1]).mean == [None, None, 1.0]
    assert TableRow("VPO", {"seconds": math.nan}).metrics == {"seconds": None}
    assert LookPoint(0, math.nan, 1, 2, 3).pool_l1 is None


def test_numpy_numbers_go_into_json() -> None:
    curve = Curve(np.arange(3), np.float32([0, 1, np.nan]))
    report = dataclasses.replace(
        EMPTY,
        seed=np.int64(4),
        best_at_k={"VPO": curve},
        looks={"VPO": [LookPoint(np.int64(2), np.float64(1), 1, 1, 1)]},
        verdicts=[Verdict("v", "1", "0", ok=np.float64(1) > 0)],
    )
    assert json.loads(report.to_json())["best_at_k"]["VPO"]["mean"] == [0.0, 1.0, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [0.5]), "curve.mean has 1 values for 2 positions"),
        (([1], [0.5], [0.4]), "only one of lo and hi"),
        (([math.nan], [0.5]), "curve.x holds a value that is not finite"),
    ],
)
def test_an_ill_formed_curve_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curve(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "schema 99: expected 1"),
        ({"surprise": 1}, "unknown or missing fields surprise"),
        ({"notes": "one"}, "report.notes is str 'one': expected list"),
        ({"summary": [{"name": "x"}]}, r"report.summary\[0\] has unknown or missing fields value"),
        (
            {"best_at_k": {"VPO": {"x": ["1"], "mean": [1]}}},
            r"report.best_at_k\['VPO'\].x\[0\] is str '1': expected float",
        ),
    ],
)
def test_a_foreign_json_is_refused_with_the_place(change: dict[str, Any], message: str) -> None:
    text = json.dumps(json.loads(EMPTY.to_json()) | change)
    with pytest.raises(ValueError, match=message):
        DemoReport.from_json(text)


def test_writing_leaves_the_page_and_its_json_and_nothing_else(tmp_path: Path) -> None:
    report = dataclasses.replace(EMPTY, summary=[Figure("pool L1", "3.8 ×")])
    write(report, tmp_path / "runs" / "demo.html")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["demo.html", "demo.json"]
    assert DemoReport.from_json((tmp_path / "runs" / "demo.json").read_text(encoding="utf-8")) == report
    assert "3.8 ×" in (tmp_path / "runs" / "demo.html").read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_files_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write(EMPTY, path)
    before = path.read_text(encoding="utf-8")

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write(dataclasses.replace(EMPTY, title="new"), path)
    assert path.read_text(encoding="utf-8") == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_a_path_that_is_not_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a name ending in \.html"):
        write(EMPTY, tmp_path / "report")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "9" * 5000, '{"schema": ' + "9" * 5000 + "}"])
def test_text_that_is_no_json_is_refused_in_words(text):
    with pytest.raises(ValueError, match="the text is not JSON"):
        DemoReport.from_json(text)


def test_a_number_that_no_float_holds_is_refused_with_its_place():
    text = example_report(num_looks=2).to_json()
    place = re.search(r"(?<=: )0\.\d+", text)
    assert place is not None
    with pytest.raises(ValueError, match=r"report\..* is int 1000.*expected float"):
        DemoReport.from_json(text[: place.start()] + "1" + "0" * 400 + text[place.end() :])
