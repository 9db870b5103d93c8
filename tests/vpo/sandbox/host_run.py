"""A sandbox on a host of some kind, for the tests that make such hosts: what is missing, and whether it still holds.

Prints JSON: ``missing`` (what a sandbox without permission complains of), ``message``, ``held`` (attempt: whether the
sandbox held, with all that is missing allowed), ``left`` (processes of a job that were there after it), ``uid``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Literal

from tests.vpo.sandbox.onlookers import new_mark, processes, wait_until
from vpo.cli.doctor import attempts
from vpo.sandbox import Job, Limits, NotEnforced, Sandbox

DAEMON = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(60)
        os._exit(0)
"""


def main(backend: Literal["zygote", "bubblewrap"]) -> None:
    missing: dict[str, str] = {}
    message = ""
    try:
        Sandbox(1, preload=(), backend=backend).close()
    except NotEnforced as error:
        missing, message = error.missing, str(error)
    mark = new_mark()
    limits = Limits(seconds=2, memory_mb=256, processes=8)
    with Sandbox(
        1, limits, preload=(), readable=[mark], allow=[f"no_{name}" for name in missing], backend=backend
    ) as box:
        with attempts() as all_attempts:
            held = {attempt.name: attempt.held(box.run(attempt.job)[0]) for attempt in all_attempts}
        (daemon,) = box.run(Job(DAEMON, [""]))
        held["answer"] = daemon.status == "ok"
        most = 1 if backend == "zygote" else 0
        wait_until(lambda: len(processes(mark)) == most + 1, 3)  # this process has no mark on its command line
        left = len(processes(mark)) - most
    print(json.dumps({"missing": sorted(missing), "message": message, "held": held, "left": left, "uid": os.getuid()}))


if __name__ == "__main__":
    main(sys.argv[1])  # type: ignore[arg-type]
