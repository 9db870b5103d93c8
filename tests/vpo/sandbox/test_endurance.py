"""Hundreds of jobs of which one in four misbehaves: every one is accounted for, and nothing grows."""

from __future__ import annotations

import resource
from collections import Counter
from pathlib import Path

import pytest

from tests.vpo.sandbox.onlookers import new_mark, processes
from vpo.sandbox import Job, Limits, Sandbox

KINDS = {
    "ok": Job("def f(): return 7", [[]], "f"),
    "timeout": Job("def f():\n    while True: pass", [[]], "f"),
    "error": Job("import os\ndef f(): os.abort()", [[]], "f"),
    "oom": Job("def f(): return len(bytearray(6 << 30))", [[]], "f"),
}


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_every_job_is_accounted_for_and_nothing_grows(box: Sandbox) -> None:
    turns = ["timeout"] * 2 + ["error"] * 2 + ["oom"] + ["ok"] * 15
    order = [turns[7 * number % 20] for number in range(400)]
    mark, memory = new_mark(), []
    found: Counter[tuple[str, str]] = Counter()
    with Sandbox(2, Limits(seconds=1), readable=[mark]) as own:
        zygotes = processes(mark)
        for start in range(0, 400, 100):
            part = order[start : start + 100]
            results = own.map([KINDS[kind] for kind in part])
            found.update((kind, result.status) for kind, (result,) in zip(part, results, strict=True))
            memory.append(resident())
        assert processes(mark) == zygotes
    assert found == {("ok", "ok"): 300, ("timeout", "timeout"): 40, ("error", "error"): 40, ("oom", "oom"): 20}
    assert memory[-1] - memory[0] < 8 << 20
