"""Known escapes and reward hacks, one test each. After each of them the sandbox is as it was before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vpo.sandbox.escapes.attempts import INNOCENT
from tests.vpo.sandbox.onlookers import processes, wait_until
from vpo.sandbox import Job, Sandbox


@pytest.fixture(autouse=True)
def as_before(box: Sandbox, mark: str) -> Iterator[None]:
    """Nothing is left of a job: no process, no file; and both workers answer as if nothing had been."""
    before = processes(mark)
    yield
    answers = box.map([INNOCENT] * 4)
    assert [(answer.status, answer.value) for (answer,) in answers] == [("ok", [0, 1, 4, 9])] * 4
    assert wait_until(lambda: processes(mark) == before), "the zygotes must be the only processes, and the same"
    assert set(before.values()) == {os.getpid()}
    (files,) = box.run(Job("import os\ndef f(): return sorted(os.listdir('/box') + os.listdir('/dev/shm'))", [[]], "f"))
    assert files.value == []
    assert not Path("/box").exists()
