"""What a job is and what comes back: values, programs, several cases, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.sandbox.places import needs_own_tmp
from vpo.sandbox import Job, Limits, Sandbox
from vpo.sandbox.verdict import read_plain

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=15)
@given(values=st.lists(PLAIN, min_size=1, max_size=3))
def test_plain_values_come_back_as_they_went_in(box: Sandbox, values: list[Any]) -> None:
    results = box.run(Job("def f(x): return x", [[value] for value in values], "f"))
    assert [result.status for result in results] == ["ok"] * len(values)
    # As JSON text: it tells 1 from 1.0 and from true, and 0.0 from -0.0.
    assert [json.dumps(result.value) for result in results] == [json.dumps(value) for value in values]


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("(1, (2, 3))", [1, [2, 3]]),
        ("numpy.arange(3)", [0, 1, 2]),
        ("numpy.eye(2)", [[1.0, 0.0], [0.0, 1.0]]),
        ("numpy.float64(0.5), numpy.int8(3), numpy.bool_(True)", [0.5, 3, True]),
        ("numpy.zeros((0, 3))", []),
        ("{1: 'a'}", {"1": "a"}),
        ("None", None),
    ],
)
def test_tuples_and_arrays_become_lists(box: Sandbox, returned: str, value: Any) -> None:
    (result,) = box.run(Job(f"import numpy\ndef f(): return {returned}", [[]], "f"))
    assert (result.status, result.value) == ("ok", value)


def test_a_method_is_called_on_an_instance(box: Sandbox) -> None:
    code = "class Solution:\n    def __init__(self): self.k = 2\n    def double(self, x): return self.k * x"
    assert box.run(Job(code, [[21]], "Solution.double"))[0].value == 42


def test_a_program_reads_and_prints_as_any_program_does(box: Sandbox) -> None:
    code = """
import sys
if __name__ == "__main__":
    first = input()
    rest = sys.stdin.read().split()
    print(first, len(rest), sys.argv[1:], end="!")
    sys.stderr.write("note")
"""
    (result,) = box.run(Job(code, ["héllo ☃\n" + "1 " * 200_000]))
    assert (result.status, result.stdout, result.stderr) == ("ok", "héllo ☃ 200000 []!", "note")


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.stdout.write('done')\nsys.exit()",
        "import sys\nsys.stdout.write('done')\nsys.exit(0)",
        "import os\nos.write(1, b'done')\nos._exit(0)",
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('done', end=''))).start()",
        "import atexit\natexit.register(print, 'done', end='')",
        "import sys, io\nsys.stdout.write('done')\nsys.stdout = io.StringIO()\nprint('lost')",
        "from concurrent.futures import ThreadPoolExecutor as T\nT(1).submit(print, 'done', end='')",
        pytest.param("open('file', 'w').write('done')\nprint(open('/tmp/file').read(), end='')", marks=needs_own_tmp),
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(\"done\", end=\"\")'])",
    ],
)
def test_what_a_program_printed_counts_however_it_ends(box: Sandbox, code: str) -> None:
    (result,) = box.run(Job(code, [""]))
    assert (result.status, result.stdout) == ("ok", "done"), result


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("x = ", "SyntaxError"),
        ("raise ValueError('why')", 'line 1, in <module>\n    raise ValueError("why")'),
        ("import sys\nsys.exit('bad')", "status 'bad'"),
        ("import sys\nsys.exit(3)", "status 3"),
        ("input()", "EOFError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("import os\nos.abort()", "SIGABRT"),
        ("\0", "null bytes"),
        ("'\ud800'", "surrogates"),
    ],
)
def test_a_program_that_fails_says_how(box: Sandbox, code: str, detail: str) -> None:
    (result,) = box.run(Job(code, [""]))
    assert result.status == "error"
    assert detail.replace('"', "'") in result.detail.replace('"', "'")
    assert "vpo/sandbox" not in result.detail, "our own frames are no help to anybody"


def test_a_function_that_is_not_there_is_an_error(box: Sandbox) -> None:
    (result,) = box.run(Job("def g(): pass", [[]], "f"))
    assert (result.status, result.detail) == ("error", "NameError: the code defines no 'f'")


@needs_own_tmp
def test_each_case_starts_afresh(box: Sandbox) -> None:
    code = "import os\nseen = []\ndef f(x):\n    seen.append(x)\n    return [seen, os.listdir('/tmp')]"
    assert [result.value for result in box.run(Job(code, [[1], [2]], "f"))] == [[[1], []], [[2], []]]


def test_files_of_one_case_are_gone_in_the_next(box: Sandbox) -> None:
    code = """
import os
def f(x):
    found = os.listdir("/box") + os.listdir("/dev/shm")
    os.makedirs("a/b/c")
    os.symlink("/usr", "link")
    os.symlink("nowhere", "a/dangling")
    os.mkfifo("a/b/pipe")
    for name in ("1", "2", "a/1"): open(name, "w").close()
    os.chmod("a/1", 0)
    os.chmod("a/b/c", 0)
    os.chmod("a", 0)
    os.chmod("/box", 0o777)
    for _ in range(1500):  # deeper than Python recurses, longer than a path may be
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.chmod("/box", 0)
    return found
"""
    results = box.run(Job(code, [[1], [2], [3]], "f"))
    assert [(result.status, result.value) for result in results] == [("ok", [])] * 3


def test_no_two_jobs_draw_the_same_random_numbers(box: Sandbox) -> None:
    code = "import numpy, random\ndef f(): return [random.random(), numpy.random.rand()]"
    drawn = [
        value for results in box.map([Job(code, [[]] * 3, "f")] * 4) for result in results for value in result.value
    ]
    assert len(set(drawn)) == len(drawn) == 24


def test_a_set_has_the_same_order_in_every_worker(box: Sandbox) -> None:
    job = Job("print(set('abcdefghij'))", [""])
    assert len({box.run(job)[0].stdout for _ in range(6)}) == 1


def test_a_hanging_case_does_not_lose_the_others(box: Sandbox) -> None:
    code = """
import ctypes
def f(x):
    if x == 1:
        while True: pass
    if x == 2: ctypes.string_at(0)
    if x == 3: return bytearray(6 << 30)
    if x == 4: return float("nan")
    return x
"""
    results = box.run(Job(code, [[x] for x in range(6)], "f", Limits(seconds=0.5)))
    assert [result.status for result in results] == ["ok", "timeout", "error", "oom", "invalid", "ok"]
    assert (results[0].value, results[5].value) == (0, 5)
    assert results[1].seconds >= 0.5


def test_every_case_has_the_whole_time(box: Sandbox) -> None:
    results = box.run(Job("import time\ntime.sleep(0.4)", [""] * 4, limits=Limits(seconds=1.5)))
    assert {result.status for result in results} == {"ok"}
    # The clock starts when the supervisor hears that the program has begun, which a busy machine tells it late.
    assert all(result.seconds >= 0.3 for result in results)


def test_a_bound_for_the_job_ends_the_cases_it_leaves_no_time_for(box: Sandbox) -> None:
    code = "n = int(input())\nwhile n: pass\nprint(n)"
    results = box.run(Job(code, ["0", "1", "0", "0"], limits=Limits(seconds=60, job_seconds=1.5)))
    assert [result.status for result in results] == ["ok", "timeout", "timeout", "timeout"]
    assert "1.5 s were used up" in results[1].detail


def test_a_job_without_cases_has_no_results(box: Sandbox) -> None:
    assert box.run(Job("x", [])) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cases": "text"}, "cases is one text: expected a list"),
        ({"cases": [1]}, "expected a text for standard input"),
        ({"cases": ["text"], "entry": "f"}, "expected the list of f's arguments"),
        ({"cases": [[1]], "entry": "f()"}, "expected a function's name"),
        ({"cases": [[1]], "entry": ""}, "expected a function's name"),
    ],
)
def test_a_job_of_the_wrong_form_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Job("pass", **arguments)


def test_an_argument_that_is_no_json_is_refused(box: Sandbox) -> None:
    with pytest.raises(ValueError, match="expected JSON values only"):
        box.run(Job("pass", [[object()]], "f"))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"seconds": 0}, "seconds is 0: expected a number above 0"),
        ({"seconds": float("nan")}, "expected a number above 0"),
        ({"seconds": float("inf")}, "expected a number above 0"),
        ({"memory_mb": 0.5}, "memory_mb is 0.5: expected a whole number"),
        ({"processes": True}, "processes is True"),
        ({"job_seconds": -1}, "job_seconds is -1"),
    ],
)
def test_a_limit_that_limits_nothing_is_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**limits)


@given(value=PLAIN)
def test_reading_is_the_inverse_of_writing(value: Any) -> None:
    assert json.dumps(read_plain(json.dumps(value))) == json.dumps(value)


@given(
    text=st.text() | PLAIN.map(json.dumps).map(lambda text: text[:-1]) | st.text(alphabet='[]{}",:0123456789eE.-tfnNaI')
)
def test_reading_what_anybody_wrote_gives_finite_values_or_a_value_error(text: str) -> None:
    try:
        value = read_plain(text)
    except ValueError:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
