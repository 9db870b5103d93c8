"""Two readings of how right a turn with tool calls is, each as (format, tool_name, arg_key, arg_value), all in [0, 1].

`released_rules` are those of the VPO paper's configuration and code: F1 of tool names; calls are paired, then F1 of
each pair's argument keys, and the share of the wanted arguments' values that are right (words of text by F1, numbers
and truth values exactly), averaged over pairs, a call without a partner counting 0. Two holes of the released code are
closed: there ``true`` passes for any text that is not empty, and of a value that is an object only the keys are
compared.

`toolrl_rules` are those of ToolRL's own scorer (arXiv 2504.13958, ``rlla.py``), taken apart into components: the layout
of the whole turn to the letter; overlap over union of tool names; and for each wanted call, paired by name, overlap
over union of its keys and the share of exactly equal values. With n wanted calls that have K arguments together,
ToolRL's own score of correctness before scaling is (tool_name + n arg_key + K arg_value) / (1 + n + K). One departure:
a call without parameters spoils the turn whatever its name; there, only if it has the name of a wanted one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from vpo.tasks.texts import between, multiset_f1, normalize, word_f1
from vpo.tasks.toolrl.calls import ToolCall, calls_section, read_calls, read_lines

Scores = tuple[float, float, float, float]


def released_rules(answer: str, wanted: Sequence[ToolCall]) -> Scores:
    """The VPO paper's reading.

    Args:
        answer: Any text.
        wanted: The data's calls; none where the turn should only reply.
    """
    section = calls_section(answer)
    calls = read_calls(section) if section else []
    thinks = between(answer, "<think>", "</think>") is not None
    well_formed = thinks and (bool(calls) if wanted else not section)
    if not calls and not wanted:
        return (float(well_formed), 1.0, 1.0, 1.0)
    names = multiset_f1((_plain(call.name) for call in calls), (_plain(call.name) for call in wanted))
    pairs = _pair(calls, wanted)
    count = len(calls) + len(wanted) - len(pairs)
    keys = sum(multiset_f1(ours.parameters, theirs.parameters) for ours, theirs in pairs)
    values = sum(_values_right(ours.parameters, theirs.parameters) for ours, theirs in pairs)
    return (float(well_formed), names, keys / count, values / count)


def toolrl_rules(answer: str, wanted: Sequence[ToolCall], replies: bool) -> Scores:
    """ToolRL's own reading.

    Args:
        answer: Any text.
        wanted: The data's calls.
        replies: Whether the data's turn has a ``<response>``.
    """
    answer = answer.strip()
    well_formed = float(_is_laid_out(answer, bool(wanted), replies))
    if not wanted:
        return (well_formed, 1.0, 1.0, 1.0)  # its scorer judges no calls then
    calls = None
    if "<tool_call>" in answer and "</tool_call>" in answer:  # to the next tag of either kind, as its scorer cuts
        calls = read_lines(answer.split("<tool_call>", 2)[1].split("</tool_call>", 1)[0].strip())
    if calls is None:
        return (well_formed, 0.0, 0.0, 0.0)
    names = _overlap([call.name for call in wanted], [call.name for call in calls])
    keys, values, unused = 0.0, 0, list(calls)
    for theirs in wanted:
        same = [ours for ours in unused if ours.name == theirs.name]
        scored = [(_overlap([*theirs.parameters], [*ours.parameters]), _equal_values(ours, theirs)) for ours in same]
        best = max(range(len(same)), key=lambda i: sum(scored[i]), default=None)
        if best is not None and sum(scored[best]) > 0:
            keys += scored[best][0]
            values += scored[best][1]
            unused = [ours for ours in unused if ours is not same[best]]
    total = sum(len(call.parameters) for call in wanted)
    paired = len(calls) - len(unused)
    return (well_formed, names, keys / len(wanted), values / total if total else paired / len(wanted))


def _pair(calls: Sequence[ToolCall], wanted: Sequence[ToolCall]) -> list[tuple[ToolCall, ToolCall]]:
    """(ours, theirs): each wanted call in turn takes the free one of its name, or any, with most keys in common."""
    free, pairs = list(range(len(calls))), []
    for theirs in wanted:
        if free:
            best = max(free, key=lambda i: (*_likeness(calls[i], theirs), -i))
            free.remove(best)
            pairs.append((calls[best], theirs))
    return pairs


def _likeness(ours: ToolCall, theirs: ToolCall) -> tuple[bool, int]:
    same = bool(ours.name) and _plain(ours.name) == _plain(theirs.name)
    return same, len(ours.parameters.keys() & theirs.parameters.keys())


def _values_right(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Mean over the wanted keys of how right the value is; 0 for a missing one. Keys too many are arg_key's matter."""
    if not theirs:
        return 1.0
    return sum(_value_right(ours[key], theirs[key]) for key in theirs if key in ours) / len(theirs)


def _value_right(ours: Any, theirs: Any) -> float:
    if isinstance(theirs, dict):
        return _values_right(ours, theirs) if isinstance(ours, dict) else 0.0
    if isinstance(theirs, list):
        return multiset_f1(map(_plain, ours if isinstance(ours, list) else [ours]), map(_plain, theirs))
    if isinstance(theirs, str) and isinstance(ours, str):
        return word_f1(ours, theirs, articles=None)
    if _is_number(theirs) and _is_number(ours):
        return float(ours == theirs)
    if _is_number(theirs) and isinstance(ours, str):
        with suppress(ValueError, OverflowError):
            return float(abs(float(ours) - theirs) < 1e-9)
    return float(_plain(ours) == _plain(theirs))  # "1,000" for a number; truth values, null


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> str:
    try:
        return normalize(str(value), articles=None)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a value nested as deep
        return ""


def _overlap(theirs: list[str], ours: list[str]) -> float:
    """Intersection over union of two bags; 1 where both are empty."""
    common = (Counter(theirs) & Counter(ours)).total()
    union = len(theirs) + len(ours) - common
    return common / union if union else 1.0


def _equal_values(ours: ToolCall, theirs: ToolCall) -> int:
    return sum(key in ours.parameters and ours.parameters[key] == value for key, value in theirs.parameters.items())


def _is_laid_out(text: str, calls: bool, replies: bool) -> bool:
    r"""ToolRL's layout: ``<think>...</think>``, then on new lines the calls, then the reply, each once, and no more.

    Its regular expressions, such as ``^<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>$``, read without
    backtracking: each tag occurs once, so it is known where it must stand.
    """
    if not text.startswith("<think>"):
        return False
    end = len(text)
    if replies:
        start = _only(text, "<response>", "</response>", end)
        if start is None:
            return False
        if not calls:
            return _ends(text, start, "</think>\n")
        end = start - 1
        if text[end : end + 1] != "\n":
            return False
    if calls:
        start = _only(text, "<tool_call>", "</tool_call>", end)
        if start is None:
            return False
        inside = text[start + len("<tool_call>") : end - len("</tool_call>")]
        return len(inside) >= 2 and inside[0] == inside[-1] == "\n" and _ends(text, start, "</think>\n")
    return replies or _ends(text, end, "</think>")


def _only(text: str, opening: str, closing: str, end: int) -> int | None:
    """Where the only ``opening`` begins, if the only ``closing`` stands right before ``end``; else None."""
    if text.count(opening) != 1 or text.count(closing) != 1 or not text.endswith(closing, 0, end):
        return None
    start = text.index(opening)
    return start if start + len(opening) <= end - len(closing) else None


def _ends(text: str, end: int, tag: str) -> bool:
    return end >= len("<think>") + len(tag) and text.endswith(tag, 0, end)
