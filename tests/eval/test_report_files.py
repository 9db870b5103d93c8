"""Names and files of reports: names are distinct, titles say something, files are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.report import DemoReport
from eval.report.comparison import ComparisonReport
from eval.report.files import write_files
from eval.report.names import distinct

NAMES = st.lists(st.sampled_from(["a", "a (2)", "a (3)", "b", "base", ""]), max_size=8)


@given(NAMES, NAMES)
def test_names_are_made_distinct_and_keep_their_order(names: list[str], reserved: list[str]) -> None:
    found = distinct(names, reserved)
    assert len(found) == len(set(found)) == len(names)
    assert not set(found) & set(reserved)
    assert all(made.startswith(name) for made, name in zip(found, names, strict=True))
    assert distinct(found) == found


@pytest.mark.parametrize("title", ["", " \n"])
def test_a_report_without_a_title_is_refused(title: str) -> None:
    for make in (
        lambda: DemoReport(title, "c", "now", 0, "h"),
        lambda: ComparisonReport(title, "lead", "c", "now", "h"),
    ):
        with pytest.raises(ValueError, match="expected words, for the page's heading"):
            make()


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, data = tmp_path / "a" / "report.html", tmp_path / "a" / "charts" / "one.png"
    assert write_files({text: "ä\n", data: b"\x00\r\n"}) == [text, data]
    assert (text.read_bytes(), data.read_bytes()) == ("ä\n".encode(), b"\x00\r\n")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_files({data: b"half"})
    assert data.read_bytes() == b"\x00\r\n" and len(list(tmp_path.rglob("*"))) == 4
    with pytest.raises(FileExistsError, match="is a file: expected a folder"):
        write_files({text / "report.html": "x"})
