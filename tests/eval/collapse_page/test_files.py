"""The report's files: where they go, what they hold, and the published schema of the JSON among them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings

from eval.collapse.json_form import from_json, to_json
from eval.collapse.run_report import CollapseReport
from eval.collapse.schema import SCHEMA_FILE, collapse_schema, schema_text
from eval.report.collapse import write_report
from tests.eval.collapse_page import sample
from tests.eval.collapse_page.random_reports import reports

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_folder_gets_page_markdown_and_json(tmp_path: Path) -> None:
    files = write_report(sample.collapse(), tmp_path / "a" / "b")
    assert files == [tmp_path / "a" / "b" / f"report.{kind}" for kind in ("html", "md", "json")]
    assert all(file.stat().st_size > 500 for file in files)
    assert from_json(CollapseReport, files[2].read_text(encoding="utf-8")) == sample.collapse()
    assert sorted(tmp_path.rglob("*.tmp")) == []


def test_a_name_ending_in_html_names_all_of_them(tmp_path: Path) -> None:
    files = write_report(sample.one_look(), tmp_path / "seed0.html")
    assert [file.name for file in files] == ["seed0.html", "seed0.md", "seed0.json"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(FileExistsError, match=r"ending in \.html"):
        write_report(sample.one_look(), tmp_path / "taken")


def test_pictures_are_drawn_for_every_run_and_any_name(tmp_path: Path) -> None:
    for name, num in (("several", 15), ("hostile", 5), ("one-look", 5), ("no-correctness", 4)):
        files = write_report(sample.SCENARIOS[name](), tmp_path / name, png=True)
        pictures = [file for file in files if file.suffix == ".png"]
        assert len(pictures) == num
        assert all(picture.read_bytes().startswith(PNG) for picture in pictures)
        assert {picture.parent for picture in pictures} == {tmp_path / name / "charts"}


def test_without_matplotlib_the_error_names_the_cure_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"vpo\[png\]"):
        write_report(sample.one_look(), tmp_path / "out", png=True)
    assert not (tmp_path / "out").exists()


# --- the schema -------------------------------------------------------------------------------------------------------


def test_the_published_schema_is_in_step_with_the_records() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m eval.collapse.schema"


def test_the_schema_is_one_and_tells_what_each_field_means() -> None:
    schema = collapse_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    look = schema["$defs"]["LookRecord"]["properties"]
    assert look["entropy"]["description"] == "Mean entropy of the policy, nats a token."
    assert all("description" in each for each in look.values())
    assert schema["$defs"]["AlarmRecord"]["properties"]["level"]["enum"] == ["warning", "critical"]


@given(reports)
@settings(max_examples=20)
def test_every_report_that_is_written_fits_the_schema(report: CollapseReport) -> None:
    jsonschema.validate(json.loads(to_json(report)), collapse_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda report: report.update(schema_version=99), "was expected"),
        (lambda report: report.update(surprise=1), "Additional properties"),
        (lambda report: report["runs"][0].update(verdict="fine"), "is not one of"),
        (lambda report: report["runs"][0]["looks"][0].update(entropy="high"), "not valid under any"),
        (lambda report: report["runs"][0].pop("looks"), "required property"),
    ],
)
def test_the_schema_refuses_what_the_reader_would_misread(change, complaint: str) -> None:  # type: ignore[no-untyped-def]
    report = json.loads(to_json(sample.one_look()))
    change(report)
    with pytest.raises(jsonschema.ValidationError, match=complaint):
        jsonschema.validate(report, collapse_schema(), cls=jsonschema.Draft202012Validator)
