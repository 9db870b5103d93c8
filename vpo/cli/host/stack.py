"""Versions of what vpo stands on, and whether they lie in the ranges that it was tested with."""

from __future__ import annotations

from vpo.cli.host.finding import Finding
from vpo.cli.host.requirements import wanted
from vpo.record.surroundings import versions

_NAMED = ("torch", "transformers", "trl", "accelerate", "datasets")  # the others share a line while they are well


def stack_findings() -> list[Finding]:
    """A line for vpo, one for each part of the stack, and one for each other dependency that is not as it should be."""
    here = versions()
    commit = here.get("vpo commit")
    found = [
        Finding("ok", "python", here["python"]),
        Finding("ok", "vpo", here["vpo"] + (f", checkout at {commit}" if commit else "")),
    ]
    well = 0
    for each in wanted():
        if each.extra:
            continue
        name, range_ = each.requirement.name, str(each.requirement.specifier) or "any version"
        if each.installed is None:
            found.append(Finding("missing", name, f"not installed; wanted {range_}", _cure(each.requirement)))
        elif not each.is_within:
            found.append(Finding("note", name, f"{each.installed}, outside {range_}", _cure(each.requirement)))
        elif name in _NAMED:
            found.append(Finding("ok", name, f"{each.installed}, within {range_}"))
        else:
            well += 1
    found.append(Finding("ok", "other dependencies", f"{well} within their ranges"))
    return found


def _cure(requirement: object) -> str:
    return f"pip install '{requirement}'"
