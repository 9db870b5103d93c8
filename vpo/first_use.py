"""Names of a package that are imported when they are first asked for: what takes seconds to load waits until then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_first_use(package: str, home: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__`` (PEP 562).

    As in ``__getattr__, __dir__ = on_first_use(__name__, {"Sandbox": "vpo.sandbox.pool"})``.

    Args:
        package: Its name.
        home: Public name -> module that it stands in.
    """

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}: expected one of {', '.join(home)}.")
        value = getattr(import_module(home[name]), name)
        setattr(sys.modules[package], name, value)  # the next access does not come here
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return get, names
