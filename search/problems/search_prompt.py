"""The prompt that asks a policy to do better than earlier attempts, without leaving the form that it was trained on.

A multi-answer policy knows prompts that end in the request for m tagged answers. So that request, word for word, ends
the search prompt too; what search adds stands before it: what does not change first (the problem, which a prefix cache
then holds), then inspirations in the order of their ids, then the parent with its scores and what went wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.records import Candidate, Prompt
from vpo.answers import AnswerFormat

MOST_FEEDBACK = 2000
MOST_ANSWER = 12_000
_AFTER = {
    1: "Now do better: give a whole answer that improves on attempt {id}, not a list of changes.",
    2: "Now do better: each answer is a whole one that improves on attempt {id} in its own way, not a list of changes.",
}


def search_prompt(
    prompt: Prompt,
    answer_format: AnswerFormat,
    components: Sequence[str],
    parent: Candidate,
    inspirations: Sequence[Candidate] = (),
    *,
    language: str = "",
    most_feedback: int = MOST_FEEDBACK,
) -> Prompt:
    """Show earlier attempts in a prompt.

    Args:
        prompt: The problem's own, asked for answers (`AnswerFormat.ask`) or not; text or chat messages. Never changed.
        answer_format: What its answers stand in; its request ends the new prompt as `ask` writes it.
        components: (D,) names of the parent's rewards.
        parent: What is to be improved.
        inspirations: Further attempts, in any order; the parent among them is left out.
        language: Of a code block around each attempt, such as "python"; none by default.
        most_feedback: Characters of the parent's artifact that are shown; of a longer one its beginning and its end.

    Returns:
        A prompt of the same form.

    Raises:
        ValueError: Components and rewards differ in number, or chat messages hold none of the user.
    """
    others = {each.id: each for each in inspirations if each.id != parent.id and each.answer != parent.answer}
    parts = ["Attempts at this problem so far, with their scores; more is better."]
    parts += [_shown(others[key], components, language) for key in sorted(others)]
    parts.append(_shown(parent, components, language))
    if parent.status != "ok":
        parts.append(f"Attempt {parent.id} failed: {_REASONS[parent.status]}.")
    if parent.artifact.strip():
        parts.append(f"What was reported about attempt {parent.id}:\n{clipped(parent.artifact.strip(), most_feedback)}")
    parts.append(_AFTER[min(answer_format.num_answers, 2)].format(id=parent.id))
    return asked(answer_format, _append(bare(answer_format, prompt), "\n\n" + "\n\n".join(parts)))


_REASONS = {
    "invalid": "what it gave is no solution",
    "error": "it broke off with an error",
    "timeout": "it took too long",
    "oom": "it used too much memory",
}


def asked(answer_format: AnswerFormat, prompt: Prompt) -> Prompt:
    """`AnswerFormat.ask` for either form of prompt."""
    if isinstance(prompt, str):  # one call for both would be a third type to the type checker
        return answer_format.ask(prompt)
    return answer_format.ask(prompt)


def bare(answer_format: AnswerFormat, prompt: Prompt) -> Prompt:
    """`AnswerFormat.unask` for either form of prompt."""
    if isinstance(prompt, str):
        return answer_format.unask(prompt)
    return answer_format.unask(prompt)


def clipped(text: str, most: int) -> str:
    """A text of about ``most`` characters at most: a quarter from its beginning, the rest from its end."""
    if len(text) <= most:
        return text
    head = most // 4
    return f"{text[:head]}\n[... {len(text) - most} characters left out ...]\n{text[len(text) - (most - head) :]}"


def scores(components: Sequence[str], candidate: Candidate) -> str:
    """``name = reward`` for each component, every digit of it.

    Raises:
        ValueError: Their numbers differ.
    """
    if len(components) != len(candidate.vector):
        raise ValueError(
            f"candidate {candidate.id} has {len(candidate.vector)} rewards and the problem {len(components)} "
            "components: expected one reward each. Pass a candidate of this problem."
        )
    return ", ".join(f"{name} = {reward!r}" for name, reward in zip(components, candidate.vector, strict=True))


def _shown(candidate: Candidate, components: Sequence[str], language: str) -> str:
    answer = clipped(candidate.answer.strip(), MOST_ANSWER)
    block = f"```{language}\n{answer}\n```" if language else answer
    return f"Attempt {candidate.id}. Scores: {scores(components, candidate)}\n{block}"


def _append(prompt: Prompt, text: str) -> Prompt:
    """Add to a text, or to the last message of the user: where the request for answers goes too."""
    if isinstance(prompt, str):
        return prompt + text
    for index in reversed(range(len(prompt))):
        message = prompt[index]
        if message.get("role") == "user":
            content: Any = message.get("content")
            content = content + text if isinstance(content, str) else [*content, {"type": "text", "text": text}]
            return [*prompt[:index], {**message, "content": content}, *prompt[index + 1 :]]
    raise ValueError(
        f"no user message among the roles {[message.get('role') for message in prompt]}: expected one to show attempts "
        "in. Add {'role': 'user', 'content': '...'}."
    )
