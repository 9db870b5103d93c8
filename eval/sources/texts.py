"""Prompts and completions as text, and the id of a prompt: plain strings and chat messages alike.

Ids are those of the rollout log (:func:`vpo.weightings.prompt_key`), so that base-model samples, TRL's log and ours
agree on what the same prompt is. A log that has room for text only holds messages as JSON, prompt and completion alike:
a prompt that reads as messages is taken for them, a completion only where its prompt is such a text. For what a policy
writes may be JSON of its own, with a role and a content in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vpo.weightings.seeds import prompt_key, without_nulls

_MESSAGES_BEGIN = '[{"'


def prompt_id(prompt: str | Sequence[Any]) -> str:
    """16 hex digits, as in the rollout log; the same for messages and for their JSON.

    Raises:
        TypeError: The prompt is neither text nor chat messages of plain JSON.
    """
    return f"{prompt_key(logged_messages(prompt) if isinstance(prompt, str) else prompt):016x}"


def is_messages(value: Any) -> bool:
    """Whether a value is chat messages: a list of objects that have a role or a content."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and ("role" in each or "content" in each) for each in value
    )


def prompt_text(prompt: str | Sequence[Any]) -> str:
    """Text of a prompt; of messages, each after its role."""
    messages: Any = logged_messages(prompt) if isinstance(prompt, str) else prompt
    if isinstance(messages, str):
        return messages
    return "\n".join(f"{message.get('role') or 'user'}: {_message_text(message)}" for message in messages)


def completion_text(completion: str | Sequence[Any], prompt: Any = "") -> str:
    """Text of a completion; of messages, what the policy said and called in them, one below the other.

    Args:
        completion: Text, or chat messages.
        prompt: What it answers, as the log holds it. A text is taken for messages only if this is a text that holds
            messages, too.
    """
    messages: Any = completion
    if isinstance(completion, str) and isinstance(prompt, str) and completion.startswith(_MESSAGES_BEGIN):
        messages = completion if isinstance(logged_messages(prompt), str) else logged_messages(completion)
    if isinstance(messages, str):
        return messages
    return "\n".join(filter(None, map(_message_text, messages)))


def logged_messages(text: str) -> Any:
    """Chat messages that a log holds as JSON; any other text as it is.

    Each must have a role, and a content or calls: other lists of objects are data.
    """
    if not text.startswith(_MESSAGES_BEGIN):
        return text
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return messages if isinstance(messages, list) and all(map(_is_whole_message, messages)) else text


def encodable(texts: list[str]) -> list[str]:
    """The same texts; half of a surrogate pair, which JSON can escape and UTF-8 cannot hold, becomes U+FFFD."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    return texts


def _is_whole_message(value: Any) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("role"), str) and ("content" in value or "tool_calls" in value)
    )


def _message_text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str) and not message.get("tool_calls"):
        return content
    if isinstance(content, list):  # blocks of several kinds
        blocks = [block if isinstance(block, Mapping) else {"text": str(block)} for block in content]
        content = "\n".join(str(block.get("text") or f"[{block.get('type', 'block')}]") for block in blocks)
    parts = [content] if isinstance(content, str) and content else []
    for call in message.get("tool_calls") or ():
        # Calls are part of what the policy wrote, and a format of their own.
        parts.append(f"<tool_call>{json.dumps(without_nulls(call), ensure_ascii=False, default=str)}</tool_call>")
    return "\n".join(parts)
