"""ToolRL: turns of an assistant with tools, rewarded for layout, tools, argument names and argument values.

The VPO paper's domain (arXiv 2605.22817; data and scorer arXiv 2504.13958). The system message of a row lists the tools
and asks for ``<think>``, then ``<tool_call>`` with one JSON object a line, or ``<response>``, or both. w* is uniform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from vpo.tasks.protocol import RewardFunc, Row, check_split
from vpo.tasks.reward import reward_function
from vpo.tasks.rows import RowReader, hub_rows, local_rows, to_dataset
from vpo.tasks.toolrl.calls import ToolCall, calls_section, read_calls, read_lines
from vpo.tasks.toolrl.rules import released_rules, toolrl_rules

if TYPE_CHECKING:
    from datasets import Dataset

_LINKS = "https://raw.githubusercontent.com/qiancheng0/ToolRL/main/dataset/rlla_4k/{}.parquet"
_SEVERAL = (
    "\n\nEach answer that is asked for below is a whole turn in the output format above, with a <think> of its own. "
    "They may differ in tools, in values or in reasoning."
)
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class ToolRLTask:
    """Function calling on ``rlla_4k``.

    Args:
        path: Folder with ``train`` and ``test`` files (.parquet, .jsonl) of the columns of ToolRL's ``rlla_4k``, or one
            file of training rows; None loads them from its repository, the data being on no hub.
        rules: How turns are judged: "released", the VPO paper's (F1 of names and keys, values by words), or "toolrl",
            those of ToolRL's own scorer (layout to the letter, exact values); see `vpo.tasks.toolrl.rules`.

    Raises:
        ValueError: ``rules`` has no such value.
    """

    path: str | None = None
    rules: Literal["released", "toolrl"] = "released"

    name = "toolrl"
    components = ("format", "tool_name", "arg_key", "arg_value")
    w_star = (0.25,) * 4
    tag = "response"

    def __post_init__(self) -> None:
        if self.rules not in ("released", "toolrl"):
            raise ValueError(f"rules is {self.rules!r}: expected 'released' or 'toolrl'.")

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """Rows with ``prompt`` (the data's messages) and ``ground_truth`` (its turn); see `Task.dataset`.

        Where several answers will be asked for, the last user message says that each is a whole turn: the layout is in
        the system message, and the request speaks of answers.
        """
        note = _SEVERAL if num_answers > 1 else ""
        return to_dataset(self._rows(check_split(split)), lambda row: _convert(row, note), size, seed)

    def score(self, answer: str, row: Row) -> tuple[float, ...]:
        """Layout, tools, argument names and argument values of one turn."""
        calls, replies = _wanted(row["ground_truth"])
        return toolrl_rules(answer, calls, replies) if self.rules == "toolrl" else released_rules(answer, calls)

    @cached_property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all four components."""
        return [reward_function(self.name, self.components, self.score)]

    def reference(self, row: Row) -> str:
        """The data's own turn."""
        return str(row["ground_truth"])

    def _rows(self, split: str) -> Iterator[RowReader]:
        if self.path is not None:
            return local_rows(self.path, (split,), alone=split == "train")
        return hub_rows("parquet", data_files={split: _LINKS.format(split)}, split=split)


def _convert(row: RowReader, note: str) -> dict[str, Any]:
    messages = []
    for message in row.records("prompt"):
        role = message.text("role")
        if role not in _ROLES:
            raise message.bad("role", f"is {role!r}", f"one of {', '.join(_ROLES)}")
        messages.append({"role": role, "content": message.text("content")})
    if messages[-1]["role"] != "user":
        raise row.bad("prompt", f"ends with a message of role {messages[-1]['role']!r}", "one of the user")
    messages[-1]["content"] += note
    truth = row.record("reward_model")
    turn = truth.text("ground_truth")
    section = calls_section(turn)
    if section is not None and not read_lines(section):
        raise truth.bad("ground_truth", "has a <tool_call> that cannot be read", "one JSON object a line in it")
    if section is None and "<response>" not in turn:
        raise truth.bad("ground_truth", "has neither <tool_call> nor <response>", "one of them, or both")
    return {"prompt": messages, "ground_truth": turn}


@lru_cache(maxsize=4096)
def _wanted(turn: str) -> tuple[tuple[ToolCall, ...], bool]:
    """The calls of the data's turn, and whether it replies to the user."""
    return tuple(read_calls(calls_section(turn) or "")), "<response>" in turn
