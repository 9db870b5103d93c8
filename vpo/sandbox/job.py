"""What is asked of a sandbox and what it answers: plain data, on both sides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vpo.sandbox.dialogue import check_turns
from vpo.sandbox.limits import Limits

Status = Literal["ok", "invalid", "error", "timeout", "oom", "infra"]


@dataclass(frozen=True)
class Job:
    """One piece of code, run on several cases; each case starts afresh, in a process of its own.

    Args:
        code: Python source.
        cases: What to run it on, in order. With ``entry``, a list of positional arguments each (JSON values); without,
            a text for standard input each.
        entry: Function to call, such as ``solve``; with a dot, a method: ``Solution.solve`` makes a ``Solution()`` and
            calls it. None to run the code as a program.
        limits: For this job; None for the sandbox's.
        turns: Lines that each case is handed one by one on standard input, see :mod:`vpo.sandbox.dialogue`; with
            ``entry`` alone. None where there is no dialogue.

    Raises:
        ValueError: A case is not of its kind, or ``entry`` is no name.
    """

    code: str
    cases: Sequence[Any]
    entry: str | None = None
    limits: Limits | None = None
    turns: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        if self.entry is not None and not all(part.isidentifier() for part in self.entry.split(".")):
            raise ValueError(f"entry is {self.entry!r}: expected a function's name, such as 'solve'.")
        if self.turns is not None:
            if self.entry is None:
                raise ValueError("turns are given without an entry: expected the function that reads them. Name it.")
            check_turns(self.turns, len(self.cases))
        if isinstance(self.cases, str):
            raise ValueError("cases is one text: expected a list of cases. Write cases=[text].")
        for case in self.cases:
            if self.entry is None and not isinstance(case, str):
                raise ValueError(
                    f"a case is {case!r:.100}: expected a text for standard input. To call a function, set entry."
                )
            if self.entry is not None and (isinstance(case, str) or not isinstance(case, Sequence)):
                raise ValueError(f"a case is {case!r:.100}: expected the list of {self.entry}'s arguments.")

    def payload(self, limits: Limits, with_turns: bool = False) -> bytes:
        """The job as a zygote takes it.

        Args:
            limits: Its own or the sandbox's.
            with_turns: For another caller of a zygote, such as a node's; the zygote itself never gets them.

        Raises:
            ValueError: An argument is no JSON value.
        """
        content: dict[str, Any] = {
            "code": self.code,
            "entry": self.entry,
            "cases": list(self.cases),
            "limits": asdict(limits),
        }
        if self.turns is not None:
            content["dialogue"] = True
            content |= {"turns": [list(lines) for lines in self.turns]} if with_turns else {}
        try:
            return json.dumps(content).encode()
        except TypeError as error:
            raise ValueError(f"a case cannot be sent to the sandbox ({error}): expected JSON values only.") from error

    @classmethod
    def from_payload(cls, payload: bytes) -> Job:
        """The job that :meth:`payload` wrote, with its limits."""
        content = json.loads(payload)
        return cls(
            content["code"], content["cases"], content["entry"], Limits(**content["limits"]), content.get("turns")
        )


@dataclass(frozen=True)
class Result:
    """How one case ended.

    Args:
        status: ``ok``: the code ended by itself and gave a result. ``invalid``: it gave what is no result: not JSON,
            not finite, too large. ``error``: it raised, crashed or broke off. ``timeout``, ``oom``: it ran out of time
            or memory. ``infra``: our machinery failed, twice, and the code is not to blame.
        value: What the function returned: None, bool, int, finite float, str, list, or dict with str keys. Tuples are
            lists, and arrays of numbers are nested lists.
        stdout: What a program printed; of a function nothing is kept.
        stderr: The last 2 KiB of standard error.
        seconds: Wall time.
        detail: Why it is not ``ok``: a traceback's end, or a sentence.
        replies: Lines that the case printed in a dialogue, the first when it was ready.
    """

    status: Status
    value: Any = None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    detail: str = ""
    replies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "replies", tuple(self.replies))  # JSON has lists
