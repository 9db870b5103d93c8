"""The process that runs the code of one case, and says in JSON how it ended.

Nothing here is trusted by anybody: the code shares the process and may change all of it. What was expected is not here,
the supervisor cannot be reached from here, and the caller reads what comes out as plain data.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import linecache
import os
import signal
import sys
import threading
import traceback
import types
from typing import Any, NoReturn

from vpo.sandbox.limits import Limits

MESSAGE = 3  # descriptor that the end is written to
STARTED = "+"  # comes before the message when our own steps are done: what ends without it is not the code's fault
FILE_NAME = "solution.py"
IGNORED = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)  # the last two by every Python; the first not by the code
_DETAIL = 2000  # characters of a traceback that are kept: the end, where the reason stands
_OUT_OF_MEMORY = b'{"oom": "MemoryError"}'  # made beforehand: there may be no memory to make it then


def wire(stdin: int, stdout: int, stderr: int, message: int) -> None:
    """Take the four descriptors, and lose all others.

    Args:
        stdin: What the code reads; the four are above 2.
        stdout: What it prints to.
        stderr: What it complains to.
        message: What the end is written to; programs that the code starts do not get it.
    """
    for number, each in enumerate((stdin, stdout, stderr)):
        os.dup2(each, number)
    os.dup2(message, MESSAGE, inheritable=False)
    os.closerange(MESSAGE + 1, 1 << 16)


def run(code: str, entry: str | None, case: Any, limits: Limits, folder: str) -> NoReturn:
    """Run one case and end the process.

    Args:
        code: Python source.
        entry: Name of the function to call, dots allowed; None to run the code as a program.
        case: The function's arguments, or nothing.
        limits: Limits of the job.
        folder: To work in.
    """
    os.chdir(folder)
    sys.argv = [FILE_NAME]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _own_modules():
        del sys.modules[name]
    if "numpy.random" in sys.modules:
        # Else every job would draw the same numbers; a small seed of our own touches less memory than numpy's way.
        sys.modules["numpy.random"].seed(int.from_bytes(os.urandom(4)))
    encode = json.JSONEncoder(allow_nan=False, default=_plain).encode
    printed = sys.stdout
    _write(STARTED.encode())
    try:
        said = _program(code) if entry is None else _call(code, entry, case, encode, limits.output_bytes)
    except MemoryError:
        said = _OUT_OF_MEMORY
    except BaseException as error:
        said = json.dumps({"error": describe(error)}).encode()
    try:
        for stream in (sys.stdout, printed, sys.stderr):  # the code may have put another in place of the first
            stream.flush()
    finally:
        _write(said)
        os._exit(0)


@functools.cache
def _own_modules() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] == "vpo"]


def prepare() -> None:
    """Do once, before jobs are forked from here, what would touch much memory: a page that a fork touches is copied."""
    _own_modules()
    gc.collect()
    gc.freeze()  # the collector of a job leaves these pages shared


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(MESSAGE, data) :]


def _module(code: str, name: str) -> dict[str, Any]:
    """Run the code as a module of that name; its names."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    linecache.cache[FILE_NAME] = (len(code), None, code.splitlines(keepends=True), FILE_NAME)  # lines for tracebacks
    exec(compile(code, FILE_NAME, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _program(code: str) -> bytes:
    """Run the code as ``python solution.py`` would, with what an interpreter does at its end."""
    status: object = 0
    try:
        _module(code, "__main__")
    except SystemExit as stop:
        status = stop.code
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads, as Py_Finalize does
    atexit._run_exitfuncs()
    if status is None or status == 0:
        return b'{"done": true}'
    return json.dumps({"error": f"the program ended with status {status!r:.200}"}).encode()


def _call(code: str, entry: str, args: Any, encode: Any, most: int) -> bytes:
    """Call the function; a class on the way to a method is made without arguments, as LeetCode's Solution is."""
    names = _module(code, "solution")
    first, *rest = entry.split(".")
    if first not in names:
        raise NameError(f"the code defines no {first!r}")
    target = names[first]
    for name in rest:
        target = getattr(target() if isinstance(target, type) else target, name)
    value = target(*args)
    try:
        said: bytes = encode({"value": value}).encode("utf-8")
    except MemoryError:
        raise
    except BaseException as error:
        return json.dumps({"invalid": f"the result is no plain JSON: {describe(error, last_line=True)}"}).encode()
    if len(said) > most:
        return json.dumps({"invalid": f"the result is {len(said)} bytes of JSON, more than {most}"}).encode()
    return said


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy as lists and numbers; anything else that JSON does not know is refused."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        if value.dtype.kind in "biuf":
            return value.tolist()
        raise TypeError(f"an array of {value.dtype} is none of numbers")
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def describe(error: BaseException, last_line: bool = False) -> str:
    """The traceback's end, from the first line of the code itself on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != FILE_NAME:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, None if last_line else trace)
    return "".join(lines[-1:] if last_line else lines).strip()[-_DETAIL:]
