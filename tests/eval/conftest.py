"""What tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.eval.chromium import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for a module's tests."""
    from tests.eval.chromium import Browser  # skips where selenium is missing

    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.driver.quit()
