"""The version ranges that vpo asks for: from pyproject.toml in a checkout, else from the installed package."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

import vpo


@dataclass(frozen=True)
class Wanted:
    """A distribution that vpo wants.

    Attributes:
        requirement: Its name and range.
        extra: The extra that brings it; "" for all installations.
    """

    requirement: Requirement
    extra: str

    @property
    def installed(self) -> str | None:
        """Version that is installed, None if none is."""
        try:
            return version(self.requirement.name)
        except PackageNotFoundError:
            return None

    @property
    def is_within(self) -> bool:
        """Whether what is installed lies in the range; a build suffix as ``+cpu`` does not count."""
        found = self.installed
        return found is not None and self.requirement.specifier.contains(found, prereleases=True)


def wanted(project: Path | None = None) -> list[Wanted]:
    """Everything that vpo wants, its extras for developers left out.

    Args:
        project: A pyproject.toml; by default that of this checkout, and without one the installed package's metadata.
    """
    file = project or Path(vpo.__file__).resolve().parents[1] / "pyproject.toml"
    found = _of_project(file) if file.is_file() else _of_metadata()
    return [Wanted(each, extra) for each, extra in found if extra != "dev" and each.name != "vpo"]


def _of_project(file: Path) -> Iterator[tuple[Requirement, str]]:
    content = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    yield from ((Requirement(line), "") for line in content.get("dependencies", []))
    for extra, lines in content.get("optional-dependencies", {}).items():
        yield from ((Requirement(line), extra) for line in lines)


def _of_metadata() -> Iterator[tuple[Requirement, str]]:
    try:
        lines = requires("vpo") or []
    except PackageNotFoundError:  # a copy of the sources on the path
        return
    for each in map(Requirement, lines):
        extra = "" if each.marker is None else str(each.marker).rpartition("extra == ")[2].strip("\"'")
        yield each, extra
