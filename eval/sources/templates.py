"""What all prompts of a stretch of the log share, at either end: their template; and whether it changed.

An edited system prompt or instruction moves formats at once, with the policy as it was. Logs rarely name their
template, but it shows: distinct prompts begin and end alike. Chance likeness must not pass for an edit, so

- pools of at least :data:`LEAST_PROMPTS` distinct prompts are compared, never single steps of one or two;
- likeness counts from :data:`LEAST_CHARACTERS` characters on;
- the template has changed only when *no* prompt of the new pool shows what all earlier ones shared, or no earlier one
  shows what all new ones share. In a mixture of tasks some always do.

So an edit of fewer characters, or one in the middle of prompts, is not seen here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

LEAST_PROMPTS = 8
LEAST_CHARACTERS = 20
HOLE = "⟨prompt⟩"
"""Stands in a template where prompts differ."""

_MOST_PROMPTS = 64  # kept for comparison, and looked at in a step
_MOST_CHARACTERS = 2000  # looked at, at either end of a prompt

_Ends = tuple[str, str]  # head of a prompt, and its tail reversed: both are compared as prefixes


class TemplateWatch:
    """Follows the prompts of a log, step after step.

    Attributes:
        template: What prompts share, with :data:`HOLE` in between; the same text until it changes; None as long as too
            few distinct prompts were seen.
    """

    def __init__(self) -> None:
        self.template: str | None = None
        self._pending: dict[_Ends, None] = {}
        self._last: list[_Ends] = []
        self._older: deque[_Ends] = deque(maxlen=_MOST_PROMPTS)

    def see(self, prompts: Iterable[str]) -> str | None:
        """Take in the prompts of the next step; the template as of then."""
        distinct = list(dict.fromkeys(prompts))[:_MOST_PROMPTS]
        for prompt in distinct:
            self._pending[prompt[:_MOST_CHARACTERS], prompt[-_MOST_CHARACTERS:][::-1]] = None
        if len(self._pending) < LEAST_PROMPTS:
            return self.template
        pool, self._pending = list(self._pending), {}
        # When steps are small, the last pool may hold prompts from both sides of an edit: what lies before it counts.
        reference = list(self._older) or self._last
        if self.template is None or any(_differ([e[i] for e in reference], [e[i] for e in pool]) for i in (0, 1)):
            self.template = "".join((_shared(pool, 0), HOLE, _shared(pool, 1)[::-1]))
            self._older.clear()
        else:
            self._older.extend(self._last)
        self._last = pool
        return self.template


def template_difference(before: str, after: str) -> str | None:
    """What is different between two templates, in words; None for nothing that chance could not do."""
    (head, _, tail), (new_head, _, new_tail) = before.partition(HOLE), after.partition(HOLE)
    if _unlike(head, new_head):
        start = max(0, len(_common([head, new_head])) - 20)
        return f"prompts began with {_excerpt(head, start)}, now with {_excerpt(new_head, start)}"
    if _unlike(tail[::-1], new_tail[::-1]):
        shared = max(0, len(_common([tail[::-1], new_tail[::-1]])) - 20)
        old, new = tail[: len(tail) - shared], new_tail[: len(new_tail) - shared]
        return f"prompts ended in {_excerpt(old, len(old) - 60)}, now in {_excerpt(new, len(new) - 60)}"
    return None


def _differ(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether one side shares a beginning that nobody on the other side has."""
    shared, new_shared = _common(old), _common(new)
    common = len(_common([shared, new_shared]))
    lost = len(shared) - common >= LEAST_CHARACTERS and not any(each.startswith(shared) for each in new)
    gained = len(new_shared) - common >= LEAST_CHARACTERS and not any(each.startswith(new_shared) for each in old)
    return lost or gained


def _common(texts: Sequence[str]) -> str:
    """The longest text that all begin with; of the first and the last in order, it is that of all."""
    first, last = min(texts), max(texts)
    at = next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:at]


def _shared(pool: Sequence[_Ends], end: int) -> str:
    return _common([each[end] for each in pool])


def _unlike(one: str, other: str) -> bool:
    return max(len(one), len(other)) - len(_common([one, other])) >= LEAST_CHARACTERS


def _excerpt(text: str, start: int) -> str:
    start = max(0, start)
    shown = text[start : start + 60]
    if not shown:
        return "nothing in common"
    return repr(("..." if start else "") + shown + ("..." if start + 60 < len(text) else ""))
