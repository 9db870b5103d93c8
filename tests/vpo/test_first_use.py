"""Packages whose names are imported when they are first asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PACKAGES = ["vpo", "vpo.weightings", "vpo.sandbox", "trainers", "search", "search.problems", "eval.collapse"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_what_is_not_is_named(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing': expected one of "):
        _ = module.Nothing


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_itself_loads_no_torch(package):
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
