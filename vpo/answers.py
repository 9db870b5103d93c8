"""Answer sets: how several answers are asked for in one completion, and how they are read back.

The model reasons once, then writes its m answers in numbered tags, ``<answer_1> ... </answer_1>`` and so on (VPO, arXiv
2605.22817, section on multi-answer rollouts). With m = 1 nothing is asked for and the whole completion is the answer,
untouched, so a GRPO user sees no change.

What `AnswerFormat.parse` does with a completion, for m > 1:

* Only ``</answer_i>`` closes answer i. Any other tag inside an answer (code that prints ``<answer_2>``) is its text.
* An opening tag that is never closed gives no answer (the completion was cut off). It counts in ``num_unclosed``, and
  reading goes on right after the opening tag.
* A closed answer whose number is not 1..m, or was seen before, is skipped with its contents, and counts in
  ``num_extra``.
* A closing tag without an opening is text.
* Answers stand in the order in which they appear, whatever their numbers, stripped of surrounding white space.
* An empty answer is an answer, the empty string: its reward function judges it, as it would an empty completion.
* Answers equal to an earlier one count in ``num_duplicates``, and are dropped only if ``deduplicate`` is set.
* The reasoning is what stands before the first opening tag, closed or not; all the text if there is none.

The time taken is linear in the length of the completion, whatever it holds. Left out against the authors' code: the
fallbacks for a completion without tags (parts between ``---``, the text as a whole). It has no answer, and scores 0.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Prompt = TypeVar("Prompt", str, list[dict[str, Any]])

_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_MOST_ANSWERS = 1000  # beyond any context; the tags of a typing error would fill the memory
_MOST_TAGS_SHOWN = 4  # of a longer list the instruction shows the first two and the last


@dataclass(frozen=True)
class AnswerSet:
    """The answers read from one completion.

    Attributes:
        answers: The answers' text, in order of appearance.
        spans: For each answer, (start, end) characters of that text in the completion.
        reasoning: The text before the first opening tag.
        num_unclosed: Opening tags without their closing tag.
        num_extra: Closed answers skipped because their number was out of range or seen before.
        num_duplicates: Answers equal to an earlier one, whether or not they were dropped.
        elements: For each answer, (start, end) characters of it with its tags and the white space between.
        unfinished: (start, end) from the tag that opens an answer behind the last closed one, to the end; or None.
    """

    answers: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    reasoning: str = ""
    num_unclosed: int = 0
    num_extra: int = 0
    num_duplicates: int = 0
    elements: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    unfinished: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def parse_failed(self) -> bool:
        """Whether there is no answer at all."""
        return not self.answers


@dataclass(frozen=True)
class AnswerFormat:
    """How a completion holds its answers.

    Attributes:
        num_answers: m answers a completion, 1 to 1000; 1 means that the completion is the answer, without tags.
        tag: Name of the tags, a letter followed by letters, digits, "_" or "-"; "answer" gives ``<answer_1>``.
        deduplicate: Whether an answer equal to an earlier one of the same completion is dropped.

    Raises:
        ValueError: ``num_answers`` is not a whole number from 1 to 1000, or ``tag`` is no tag name.
    """

    num_answers: int = 3
    tag: str = "answer"
    deduplicate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.num_answers, int) or isinstance(self.num_answers, bool) or self.num_answers < 1:
            raise ValueError(
                f"num_answers is {self.num_answers!r}: expected a whole number of at least 1. Use 3 for the paper's "
                "setting, 1 for ordinary single-answer completions."
            )
        if self.num_answers > _MOST_ANSWERS:
            raise ValueError(
                f"num_answers is {self.num_answers}: expected {_MOST_ANSWERS} at most, as one completion writes them "
                "all. Sample more completions."
            )
        if not isinstance(self.tag, str) or not _TAG_NAME.fullmatch(self.tag):
            raise ValueError(
                f"tag is {self.tag!r}: expected a letter followed by letters, digits, '_' or '-', without brackets. "
                "Use a word such as 'answer'."
            )

    def instruction(self) -> str:
        """The request for m answers that `ask` appends to a prompt; empty with m = 1."""
        if self.num_answers == 1:
            return ""
        shown = [f"{self._open(i)}\nanswer {i}\n{self._close(i)}" for i in range(1, self.num_answers + 1)]
        if len(shown) > _MOST_TAGS_SHOWN:
            shown = [*shown[:2], "...", shown[-1]]
        return (
            f"Give {self.num_answers} different answers. They must differ in substance: the same answer in other words "
            "does not count. Do your reasoning first, outside of the tags. Then write each complete answer in its own "
            "numbered tags, with nothing else in them, and close every tag:\n" + "\n".join(shown)
        )

    def ask(self, prompt: Prompt) -> Prompt:
        """Append the instruction to a prompt, after a blank line; with m = 1 the prompt comes back unchanged.

        Args:
            prompt: Text, or a list of chat messages; there the last user message is asked, be its content text or a
                list of content parts. Never changed in place.

        Returns:
            A prompt of the same form.

        Raises:
            ValueError: There is no user message, or its content is neither text nor a list.
            TypeError: The prompt is neither text nor a list of messages.
        """
        if self.num_answers == 1:
            return prompt
        request = "\n\n" + self.instruction()
        return prompt + request if isinstance(prompt, str) else _append_to_last_user_message(prompt, request)

    def unask(self, prompt: Prompt) -> Prompt:
        """Take back what `ask` appended; a prompt that was not asked comes back as it is."""
        request = "\n\n" + self.instruction()
        if self.num_answers == 1:
            return prompt
        if isinstance(prompt, str):
            return prompt.removesuffix(request)
        messages = list(prompt)
        for index in reversed(range(len(messages))):
            if messages[index].get("role") == "user":
                content = messages[index].get("content")
                if isinstance(content, str):
                    messages[index] = {**messages[index], "content": content.removesuffix(request)}
                elif isinstance(content, list) and content and content[-1] == {"type": "text", "text": request}:
                    messages[index] = {**messages[index], "content": content[:-1]}
                break
        return messages

    def render(self, answers: Sequence[str], reasoning: str = "") -> str:
        """Write a completion that `parse` reads back as these answers, stripped.

        Args:
            answers: At most m answers; exactly one with m = 1.
            reasoning: Text to stand before them; it must hold no tag of the format. None with m = 1.

        Returns:
            The completion.

        Raises:
            ValueError: Too many answers, an answer that holds its own closing tag, or reasoning that holds an opening
                tag or has no place.
        """
        if self.num_answers == 1:
            if len(answers) != 1 or reasoning:
                raise ValueError(
                    f"{len(answers)} answers with {len(reasoning)} characters of reasoning cannot be rendered: with "
                    "num_answers = 1 the one answer is the whole completion. Give one answer and no reasoning."
                )
            return answers[0]
        if len(answers) > self.num_answers:
            raise ValueError(f"{len(answers)} answers were given: expected at most {self.num_answers}. Drop some.")
        if self._tags().search(reasoning):
            raise ValueError(f"the reasoning holds a <{self.tag}_i> tag: expected plain text. Take the tag out.")
        for number, answer in enumerate(answers, start=1):
            if self._close(number) in answer:
                raise ValueError(
                    f"answer {number} holds {self._close(number)}, which would end it early: expected an answer "
                    "without its own closing tag. Choose another tag name."
                )
        blocks = [f"{self._open(i)}\n{answer}\n{self._close(i)}" for i, answer in enumerate(answers, start=1)]
        return "\n".join([f"{reasoning}\n"] * bool(reasoning) + blocks)

    def parse(self, completion: str) -> AnswerSet:
        """Read the answers of a completion; the module's docstring states the outcome in every case.

        Args:
            completion: Any text.

        Returns:
            Its answers; with m = 1 the completion itself is the one answer.
        """
        if self.num_answers == 1:
            whole = ((0, len(completion)),)
            return AnswerSet((completion,), whole, elements=whole)
        openings, closings = self._find_tags(completion)
        open_numbers = {str(number) for number in range(1, self.num_answers + 1)}
        answers: list[str] = []
        spans: list[tuple[int, int]] = []
        elements: list[tuple[int, int]] = []
        num_unclosed = num_extra = num_duplicates = position = 0
        begun: int | None = None
        for number, tag_start, start in openings:
            if tag_start < position:
                continue  # inside the answer before
            ends = closings.get(number, deque())
            while ends and ends[0][0] < start:
                ends.popleft()  # each closing tag is passed over once: linear time
            if not ends:
                num_unclosed += 1
                begun = tag_start if begun is None else begun
                continue
            end, position = ends[0]
            begun = None
            if number not in open_numbers:
                num_extra += 1
                continue
            open_numbers.remove(number)
            answer, span = _strip(completion, start, end)
            is_duplicate = answer in answers
            num_duplicates += is_duplicate
            if not (is_duplicate and self.deduplicate):
                answers.append(answer)
                spans.append(span)
                elements.append((tag_start, position))
        reasoning = completion[: openings[0][1]] if openings else completion
        found = (tuple(answers), tuple(spans), reasoning, num_unclosed, num_extra, num_duplicates, tuple(elements))
        return AnswerSet(*found, unfinished=None if begun is None else (begun, len(completion)))

    def _find_tags(self, text: str) -> tuple[list[tuple[str, int, int]], dict[str, deque[tuple[int, int]]]]:
        """Opening tags (number, start, end) in order, and per number the closing tags (start, end) in order."""
        openings: list[tuple[str, int, int]] = []
        closings: dict[str, deque[tuple[int, int]]] = {}
        for match in self._tags().finditer(text):
            slash, number = match.groups()  # the number stays text: int() refuses more than 4300 digits
            if slash:
                closings.setdefault(number, deque()).append(match.span())
            else:
                openings.append((number, *match.span()))
        return openings, closings

    def _tags(self) -> re.Pattern[str]:
        return re.compile(rf"<(/?){self.tag}_([0-9]++)>")

    def _open(self, number: int) -> str:
        return f"<{self.tag}_{number}>"

    def _close(self, number: int) -> str:
        return f"</{self.tag}_{number}>"


def completion_text(completion: str | list[dict[str, Any]]) -> str:
    """Text of a completion: itself, or the content of its last assistant message."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        if message.get("role") == "assistant":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return ""


def _append_to_last_user_message(messages: Any, request: str) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise TypeError(
            f"cannot ask a prompt of type {type(messages).__name__} for answers: expected text or a list of chat "
            "messages. Give it as [{'role': 'user', 'content': '...'}]."
        )
    asked = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    if not asked:
        raise ValueError(
            f"no user message among the roles {[message.get('role') for message in messages]}: expected one to append "
            "the request for answers to. Add {'role': 'user', 'content': '...'}."
        )
    message = messages[asked[-1]]
    content = message.get("content")
    if isinstance(content, str):
        content = content + request
    elif isinstance(content, list):
        content = [*content, {"type": "text", "text": request}]
    else:
        raise ValueError(
            f"the content of the last user message is {content!r}: expected text or a list of content parts. Give "
            "the question there."
        )
    return [*messages[: asked[-1]], {**message, "content": content}, *messages[asked[-1] + 1 :]]


def _strip(text: str, start: int, end: int) -> tuple[str, tuple[int, int]]:
    """The stripped text between two positions, and where it stands."""
    raw = text[start:end]
    answer = raw.strip()
    start += len(raw) - len(raw.lstrip()) if answer else 0  # all white space: the empty span after the tag
    return answer, (start, start + len(answer))
