"""From a supervisor's record to a result, by table and by law."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpo.sandbox import Limits
from vpo.sandbox.verdict import verdict

LIMITS = Limits(seconds=2, output_kb=1)


def record(**facts: Any) -> dict[str, Any]:
    usual = {"stopped": None, "exit": 0, "seconds": 0.1, "cpu": 0.1, "stdout": "out", "stderr": "err", "message": "+"}
    return usual | facts


@pytest.mark.parametrize(
    ("facts", "call", "program"),
    [
        ({"message": '+{"value": [1]}'}, "ok", "invalid"),
        ({"message": '+{"done": true}'}, "invalid", "ok"),
        ({"message": "+"}, "error", "ok"),
        ({"message": '+{"value": 1}', "exit": 1}, "error", "error"),
        ({"message": '+{"error": "why"}'}, "error", "error"),
        ({"message": '+{"oom": 1}'}, "oom", "oom"),
        ({"message": "+[]"}, "invalid", "invalid"),
        ({"message": "+{}"}, "invalid", "invalid"),
        ({"message": "+{"}, "invalid", "invalid"),
        ({"stopped": "time"}, "timeout", "timeout"),
        ({"stopped": "job time", "message": ""}, "timeout", "timeout"),
        ({"stopped": "output"}, "invalid", "invalid"),
        ({"stopped": "memory"}, "oom", "oom"),
        ({"stopped": "processes"}, "error", "error"),
        ({"exit": -9}, "oom", "oom"),
        ({"exit": -9, "cpu": 2.5}, "timeout", "timeout"),
        ({"exit": -24}, "timeout", "timeout"),
        ({"exit": -11}, "error", "error"),
        ({"exit": -35}, "error", "error"),
        ({"stopped": "start", "message": ""}, "infra", "infra"),
        ({"stopped": "memory", "message": ""}, "infra", "infra"),
        ({"exit": 70, "message": ""}, "infra", "infra"),
    ],
)
def test_a_record_is_judged_by_what_the_supervisor_saw(facts: dict[str, Any], call: str, program: str) -> None:
    limits = Limits(seconds=2, job_seconds=5)
    assert verdict(record(**facts), True, limits).status == call
    assert verdict(record(**facts), False, limits).status == program


@given(
    message=st.text()
    | st.dictionaries(st.sampled_from(["value", "done", "oom", "invalid", "error", "infra"]), st.text()),
    stopped=st.sampled_from([None, "time", "output", "memory", "processes"]),
    ended=st.integers(-64, 255),
    is_call=st.booleans(),
)
def test_nothing_that_code_can_do_is_infra(message: Any, stopped: str | None, ended: int, is_call: bool) -> None:
    said = message if isinstance(message, str) else json.dumps(message)
    facts = record(message="+" + said, stopped=stopped, exit=ended)
    assert verdict(facts, is_call, LIMITS).status != "infra"


def test_only_a_programs_output_is_kept_and_no_more_than_allowed() -> None:
    long = record(stdout="x" * 5000, message='+{"done": true}')
    assert verdict(long, False, LIMITS).stdout == "x" * 1024
    assert verdict(long, True, LIMITS).stdout == ""
