"""Comparisons of toy searches."""

from __future__ import annotations

import pytest

from tests.vpo.cli.toy_searches import toy_config, use_toys
from vpo.cli.search_compare.command import compare_searches


@pytest.fixture
def toys(monkeypatch):
    use_toys(replace=monkeypatch.setattr)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished comparison, its report and its folder."""
    patch = pytest.MonkeyPatch()
    use_toys(replace=patch.setattr)
    out = tmp_path_factory.mktemp("whole")
    report = compare_searches(toy_config(out), "toy")
    patch.undo()
    return report, out
