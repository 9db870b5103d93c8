"""Seeds that every process, and every resumed run, computes alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def weighting_seed(seed: int, step: int, prompt_key: int) -> int:
    """Seed of the weightings that a prompt's group gets at a step.

    Args:
        seed: The run's seed.
        step: The step at which the group is generated.
        prompt_key: The prompt's ``prompt_key``.

    Returns:
        0 <= seed < 2**63, the same in every process and Python version, and unrelated for neighbouring arguments.
    """
    return _hash63(f"weighting {int(seed)} {int(step)} {int(prompt_key)}")


def prompt_key(prompt: str | Sequence[Any]) -> int:
    """Stable hash of a prompt.

    Args:
        prompt: A string, or a list of chat messages that are plain JSON (dicts, lists, strings, numbers). The order
            of the keys within a message does not matter, nor does a key whose value is null: datasets pad messages
            with such keys when only other messages have them.

    Returns:
        0 <= key < 2**63, the same in every process and Python version.

    Raises:
        TypeError: The prompt holds something that JSON does not know, such as an image.
    """
    try:
        text = json.dumps(without_nulls(prompt), sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"cannot hash this prompt: {error}. Expected a string or chat messages of plain JSON. Keep images and "
            "other objects in columns of their own, and leave placeholders in the prompt."
        ) from error
    return _hash63(f"prompt {text}")


def without_nulls(value: Any) -> Any:
    """The same value, of plain JSON, without entries of objects that are null, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(each) for each in value]
    return value


def _hash63(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
