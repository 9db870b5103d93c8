"""From the supervisor's record of a case to its :class:`Result`: here, in the caller, where the code cannot reach.

The record holds facts that the supervisor saw, and one text that the code may have written itself. So that text is
read as plain JSON with finite numbers or not at all, and nothing in it can make a result ``infra``.
"""

from __future__ import annotations

import json
import math
import signal
from typing import Any

from vpo.sandbox.candidate import STARTED
from vpo.sandbox.job import Result, Status
from vpo.sandbox.limits import Limits


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def read_plain(text: str) -> Any:
    """Parse JSON that may come from anybody.

    Raises:
        ValueError: It is not JSON, nested too deeply, or holds NaN, an infinity, or half of a surrogate pair.
    """
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("it holds text that is no Unicode") from error
    return value


def verdict(record: dict[str, Any], is_call: bool, limits: Limits) -> Result:
    """Judge one case.

    Args:
        record: From the supervisor.
        is_call: A function was called; else a program was run.
        limits: The job's.
    """
    stopped = record["stopped"]
    stdout = "" if is_call else record["stdout"][: limits.output_bytes]

    def result(status: Status, detail: str = "", value: Any = None) -> Result:
        replies = tuple(record.get("replies", ()))
        return Result(status, value, stdout, record["stderr"], record["seconds"], detail, replies)

    if stopped == "job time":
        return result("timeout", f"the job's {limits.job_seconds:g} s were used up")
    message = record["message"]
    if not message.startswith(STARTED):
        return result("infra", "the process ended before it came to the code")
    if stopped is not None:
        status, reason = _STOPPED[stopped]
        return result(status, reason.format(limits=limits))
    if record["exit"] < 0:
        return result(*_killed(-record["exit"], record["cpu"], limits))
    if record["exit"] > 0:
        return result("error", f"the process ended with status {record['exit']}")
    if len(message) == len(STARTED):  # os._exit(0): all a program has to say it has printed
        return result("error", "the process ended without a result") if is_call else result("ok")
    try:
        said = read_plain(message[len(STARTED) :])
    except ValueError as error:
        return result("invalid", f"the result cannot be read: {error}")
    match said:
        case {"value": value} if is_call:
            return result("ok", value=value)
        case {"done": True} if not is_call:
            return result("ok")
        case {"oom": _}:
            return result("oom", _STOPPED["memory"][1].format(limits=limits))
        case {"invalid": reason}:
            return result("invalid", str(reason))
        case {"error": reason}:
            return result("error", str(reason))
    return result("invalid", "the result cannot be read: it is not of the form that was asked for")


_STOPPED: dict[str, tuple[Status, str]] = {
    "time": ("timeout", "longer than {limits.seconds:g} s"),
    "output": ("invalid", "more output than {limits.output_kb} KiB"),
    "memory": ("oom", "more memory than {limits.memory_mb} MiB"),
    "processes": ("error", "more processes than {limits.processes}"),
}


def _killed(number: int, cpu: float, limits: Limits) -> tuple[Status, str]:
    if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu >= limits.seconds):
        return "timeout", f"longer than {limits.seconds:g} s"
    if number == signal.SIGKILL:
        return "oom", "killed, as the kernel does when memory runs out"
    try:
        return "error", f"killed by {signal.Signals(number).name}"
    except ValueError:  # a real-time signal
        return "error", f"killed by signal {number}"
