"""The way out of the result: what code hands back can neither act nor pass for what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vpo.sandbox.escapes.attempts import call
from vpo.sandbox import CallTest, Job, Sandbox, StdinTest, run_tests


def test_an_object_that_pickles_into_a_command_is_no_result(box: Sandbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    code = f"""
import os, pickle
class Evil:
    def __reduce__(self): return (os.system, ("touch {victim}",))
def f(): return Evil()
def g(): return pickle.dumps(Evil())
"""
    assert call(box, code).status == "invalid"
    (as_bytes,) = box.run(Job(code, [[]], "g"))
    assert as_bytes.status == "invalid"
    assert not victim.exists()


def test_an_object_that_equals_everything_passes_no_test(box: Sandbox) -> None:
    code = """
class Yes:
    def __eq__(self, other): return True
    def __hash__(self): return 0
class YesInt(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(x): return Yes() if x else YesInt(7)
"""
    outcomes = run_tests(code, [CallTest("f", [1], 42), CallTest("f", [0], 42)], box)
    assert [outcome.status for outcome in outcomes] == ["invalid", "wrong"]


def test_what_a_subclass_of_a_number_says_of_itself_is_not_believed(box: Sandbox) -> None:
    code = """
class Liar(float):
    def __float__(self): return 42.0
    def __repr__(self): return "42.0"
    def __eq__(self, other): return True
def f(): return Liar(1.5)
"""
    result = call(box, code)
    assert (result.status, result.value, type(result.value)) == ("ok", 1.5, float)


def test_a_forged_message_is_a_result_at_best(box: Sandbox) -> None:
    forged = """
import os
def f(text):
    os.write(3, text.encode())
    os._exit(0)
"""
    assert call(box, forged, '{"value": 7}').value == 7  # it could have returned it
    for text in (
        '{"value": NaN}',
        '{"value": 1e999}',
        '{"infra": true}',
        '{"status": "ok"}',
        "[" * 10**5,
        "\x00",
        '"x"',
    ):
        assert call(box, forged, text).status == "invalid", text
    assert call(box, forged, '{"value": "\\ud800"}').status == "invalid"
    assert call(box, forged.replace("os._exit(0)", "return 1"), '{"value": 7}').status == "invalid"  # said twice
    assert call(box, forged.replace("os._exit(0)", "os._exit(70)"), '{"value": 7}').status == "error"


def test_the_expected_output_is_in_no_frame_and_no_object(box: Sandbox) -> None:
    secret = "seven-hundred-and-seventy-seven"
    code = """
import ctypes, gc, sys
def texts():
    frame = sys._getframe()
    while frame is not None:
        yield repr(frame.f_locals)
        yield repr({k: v for k, v in frame.f_globals.items() if isinstance(v, (str, list, dict))})
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, (dict, list, tuple, set)):
            yield repr(thing) if len(thing) < 1000 else ""
def half(): return "-".join(["seven", "hundred", "and", "seventy"])  # nowhere here in one piece
def f(x):
    found = [text for text in texts() if half() in text]
    return len(found)
import os
if __name__ == "__main__":
    print(f(0))
"""
    call_outcome, stdin_outcome = run_tests(code, [CallTest("f", [1], secret), StdinTest("1\n", secret)], box)
    assert (call_outcome.status, call_outcome.result.value) == ("wrong", 0)
    assert (stdin_outcome.status, stdin_outcome.result.stdout) == ("wrong", "0\n")


def test_patched_builtins_and_numpy_are_gone_with_the_case(box: Sandbox) -> None:
    code = """
import builtins, json, numpy, time, os, random
def f(x):
    before = len([1, 2]), numpy.arange(3).sum().item(), time.time() > 0
    builtins.len = lambda _: 99
    builtins.print = builtins.isinstance = None
    numpy.arange = lambda *_: numpy.zeros(9)
    time.time = lambda: -1.0
    os.write = os._exit = lambda *_: None
    json.dumps = json.JSONEncoder.encode = lambda *_, **__: "[]"
    return list(before)
"""
    results = box.run(Job(code, [[1], [2]], "f"))
    assert all(result.status != "infra" for result in results)
    clean = "import numpy, time\ndef f(): return [len([1, 2]), numpy.arange(3).sum().item(), time.time() > 0]"
    assert [call(box, clean).value for _ in range(3)] == [[2, 3, True]] * 3


@pytest.mark.parametrize(
    "value",
    [
        "float('nan')",
        "float('inf')",
        "[1, [2, -float('inf')]]",
        "numpy.array([1, numpy.nan])",
        "numpy.float32('inf')",
        "numpy.array([1, None], dtype=object)",
        "numpy.array([1 + 2j])",
        "numpy.array(['a'])",
        "1j",
        "b'x'",
        "{1, 2}",
        "{(1, 2): 3}",
        "object()",
        "f",
        "10 ** 5000",
        "numpy",
    ],
)
def test_what_is_no_plain_finite_value_is_invalid(box: Sandbox, value: str) -> None:
    assert call(box, f"import numpy\ndef f(): return {value}").status == "invalid"


def test_a_value_that_holds_itself_is_invalid(box: Sandbox) -> None:
    assert call(box, "def f():\n    x = []\n    x.append(x)\n    return x").status == "invalid"
    assert call(box, "def f():\n    x = []\n    for _ in range(10**5): x = [x]\n    return x").status == "invalid"
