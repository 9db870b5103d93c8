from __future__ import annotations

from collections.abc import Iterator

import pytest

from vpo.sandbox import Limits, NotEnforced, Sandbox

SHORT = Limits(seconds=1.0, job_seconds=2.0, memory_mb=512)


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    try:
        sandbox = Sandbox(2, preload=("numpy", "scipy.optimize"))
    except NotEnforced as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox


@pytest.fixture
def short() -> Limits:
    """Limits under which a program that hangs costs a second."""
    return SHORT
