"""A file cut at any byte: never a crash without a name, never a sample that was not written."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.sources import SourceError, open_source
from tests.eval.sources.logs import WRITERS, samples_of

LOG = [(step, f"prompt ä {step} {i % 2}", f"text ö {step} {i}", float(i)) for step in (1, 2, 3) for i in range(4)]
KINDS = {"gzip": "jsonl"}


def cut_log(form, folder, share):
    path = WRITERS[form](Path(folder), LOG)
    file = path if path.is_file() else max(p for p in path.rglob("*") if p.is_file())
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    return open_source(path, kind=KINDS.get(form, form))


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=30)
@given(share=st.floats(0, 1))
def test_a_cut_file_gives_a_part_of_what_was_written_or_an_error_with_its_name(form, share):
    with tempfile.TemporaryDirectory() as folder:
        source = cut_log(form, folder, share)
        read = []
        try:
            for samples in source.read():
                read += samples_of([samples])
        except SourceError as error:
            assert folder in str(error)
        assert read == LOG[: len(read)]
        if "jsonl" in str(source.path) or form in ("verl", "openrlhf"):
            assert len(read) >= (0 if form == "gzip" else int(share * len(LOG)) - 2)


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=30)
@given(share=st.floats(0, 1))
def test_a_cut_file_that_may_grow_gives_whole_steps_and_waits(form, share):
    with tempfile.TemporaryDirectory() as folder:
        source = cut_log(form, folder, share)
        read = samples_of(source.poll())
        assert read == LOG[: len(read)] and len(read) % 4 == 0
        assert source.warnings == []


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=20)
@given(share=st.floats(0, 1))
def test_with_damage_skipped_the_rest_is_read(form, share):
    with tempfile.TemporaryDirectory() as folder:
        source = cut_log(form, folder, share)
        source.skip_damaged = True
        read = samples_of(source.read())
        assert read == LOG[: len(read)]
        assert len(read) == len(LOG) or source.warnings or form in ("jsonl", "verl", "openrlhf")


def test_half_the_mark_of_a_compressed_file_is_a_cut_too(tmp_path):
    path = WRITERS["gzip"](tmp_path, LOG)
    path.write_bytes(path.read_bytes()[:1])
    source = open_source(path, kind="jsonl")
    assert list(source.read()) == [] and "is cut after line 0" in source.warnings[0]


def test_the_last_line_without_its_end_is_a_warning_with_its_number(tmp_path):
    path = WRITERS["jsonl"](tmp_path, LOG)
    path.write_bytes(path.read_bytes()[:-5])
    source = open_source(path)
    assert samples_of(source.read()) == LOG[:-1]
    assert source.warnings == [f"{path}, line 12 is cut off before its end, and left out: the last of the file."]


def test_a_whole_last_line_needs_no_newline(tmp_path):
    path = WRITERS["jsonl"](tmp_path, LOG)
    path.write_bytes(path.read_bytes()[:-1])
    source = open_source(path)
    assert samples_of(source.read()) == LOG and source.warnings == []


def test_a_file_without_samples_reads_as_no_steps(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b"")
    source = open_source(tmp_path / "log.jsonl", kind="jsonl")
    assert list(source.read()) == []
    assert source.warnings == [f"{tmp_path / 'log.jsonl'} holds no samples."]
