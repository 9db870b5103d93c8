"""Cases that are handed their input line by line: what is to come is not there, and nothing gets out of step."""

from __future__ import annotations

import pytest

from vpo.sandbox import Job, Limits, Sandbox

ECHO = """
import os, sys
def f(name):
    os.write(1, b"ready\\n")
    for line in sys.stdin:
        os.write(1, f"{name}{line}".encode())
    return "done"
"""


def talk(code: str, turns: list[list[str]], box: Sandbox, limits: Limits | None = None) -> list[tuple]:
    job = Job(code, [[f"{place}:"] for place in range(len(turns))], "f", limits, turns)
    return [(each.status, each.value, each.replies) for each in box.run(job)]


def test_each_line_is_answered_before_the_next_is_sent(box: Sandbox) -> None:
    found = talk(ECHO, [["a", "bé", ""], [], ["c"]], box)
    assert found == [
        ("ok", "done", ("ready", "0:a", "0:bé", "0:")),
        ("ok", "done", ("ready",)),
        ("ok", "done", ("ready", "2:c")),
    ]
    assert [each.value for each in box.run(Job("def f(x): return x", [[1]], "f"))] == [1]  # the zygote is in step


def test_what_is_to_come_is_nowhere_in_the_process_and_cannot_be_read_ahead(box: Sandbox) -> None:
    code = """
import gc, os, select, sys
def f(name):
    os.write(1, b"ready\\n")
    first = os.read(0, 100)
    early, _, _ = select.select([0], [], [], 0.2)
    frame, texts = sys._getframe(), []
    while frame:
        texts.append(repr(frame.f_locals) + repr(frame.f_globals))
        frame = frame.f_back
    texts += [repr(each) for each in gc.get_objects()[:20000] if isinstance(each, (dict, list, tuple))]
    return [first.decode(), bool(early), any("enil-dnoces"[::-1] in text for text in texts)]
"""
    ((status, value, replies),) = talk(code, [["first-line", "second-line"]], box, Limits(seconds=20))
    assert (status, value, replies) == ("ok", ["first-line\n", False, False], ("ready",))


@pytest.mark.parametrize(
    ("body", "status", "num_replies"),
    [
        ("os.write(1, b'x\\n' * 50); os._exit(3)", "error", 11),  # answers before it reads, then is gone
        ("os.write(1, b'x\\n' * 3); return 1", "ok", 3),
        ("os.write(1, b'no end of line'); return 1", "ok", 0),
        ("os.close(0); os.write(1, b'x\\n'); return 1", "ok", 1),
        ("while True: os.write(1, b'x\\n')", "invalid", None),  # too much output
        ("import time; time.sleep(60)", "timeout", 0),
        ("os.write(1, b'x\\n'); sys.stdin.read(); return 1", "timeout", 1),  # waits for an end that is not due
        ("os.write(1, b'\\xff{\"end\": 0}\\n'); return 1", "ok", 1),
    ],
)
def test_code_that_does_not_keep_to_the_form_harms_itself_alone(
    box: Sandbox, body: str, status: str, num_replies: int | None
) -> None:
    code = f"import os, sys\ndef f(name):\n    {body}"
    limits = Limits(seconds=2.0, output_kb=16)
    found = talk(code, [["turn"] * 10] * 2, box, limits)
    assert [each[0] for each in found] == [status] * 2
    assert num_replies is None or [len(each[2]) for each in found] == [num_replies] * 2
    assert talk(ECHO, [["a"]], box) == [("ok", "done", ("ready", "0:a"))]


def test_code_that_never_reads_cannot_stop_its_supervisor(box: Sandbox) -> None:
    code = "import os, time\ndef f(name):\n    os.write(1, b'x\\n' * 100)\n    time.sleep(60)"
    found = talk(code, [["y" * 4000] * 100], box, Limits(seconds=2.0))
    assert [each[0] for each in found] == ["timeout"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turns": [["a"], ["b"]]}, "turns has 2 lists for 1 cases"),
        ({"turns": [["a\nb"]]}, "expected one line of text"),
        ({"turns": [["a" * 4001]]}, "of 4000 bytes at most"),
        ({"turns": [["a"]], "entry": None, "cases": [""]}, "turns are given without an entry"),
    ],
)
def test_turns_that_cannot_be_handed_over_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Job(**({"code": "", "cases": [[]], "entry": "f"} | options))
