from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vpo.sandbox.onlookers import new_mark
from vpo.sandbox import Limits, NotEnforced, Sandbox

LIMITS = Limits(seconds=2, memory_mb=256, output_kb=64, processes=8)


@pytest.fixture(scope="module")
def mark() -> str:
    return new_mark()


@pytest.fixture(scope="module")
def box(mark: str) -> Iterator[Sandbox]:
    """Two workers with short limits."""
    try:
        sandbox = Sandbox(2, LIMITS, readable=[mark])
    except NotEnforced as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox
