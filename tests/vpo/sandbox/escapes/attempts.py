"""Known escapes and reward hacks, one test each. After each of them the sandbox is as it was before."""

from __future__ import annotations

from vpo.sandbox import Job, Result, Sandbox

INNOCENT = Job("import numpy\ndef f(x): return (numpy.arange(x) ** 2).tolist()", [[4]], "f")


def call(box: Sandbox, code: str, *args: object) -> Result:
    """The result of the code's function f."""
    (result,) = box.run(Job(code, [list(args)], "f"))
    return result


def program(box: Sandbox, code: str, stdin: str = "") -> Result:
    (result,) = box.run(Job(code, [stdin]))
    return result
