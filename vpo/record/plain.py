"""Settings as JSON that may be shown to anybody: plain values, and no secret among them.

A run's record is read by others, pasted into issues and kept with results. So what looks like a credential is left out
wherever it stands: under the name of one, after an option of that name, as the value of an environment variable of
that name, or in the shape of a well-known kind of key.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

LEFT_OUT = "(left out: a secret)"

_NAME = re.compile(
    r"(^|[_\-. ])(token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|secret|passwd"
    r"|password|credentials?|bearer|authorization)$",
    re.IGNORECASE,
)
# Broader than the names of settings: whatever the environment holds under such a name is not ours to write down.
_VARIABLE = re.compile(r"TOKEN|KEY|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SHAPE = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,})")
_ADDRESS = re.compile(r"(?<=://)[^/\s@]+(?=@)")  # user:password@ of an address
_SHORTEST = 8  # shorter values of such variables are settings ("token", "1"), and would be found in every word


def plain(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """``value`` as JSON without secrets.

    Args:
        value: Settings: mappings, sequences, and whatever stands in them. Objects become text, numbers without a JSON
            become their names.
        environment: Whose secrets must not show; this process's by default.

    Returns:
        Mappings with text keys, lists, text, finite numbers, booleans and None.
    """
    found = os.environ if environment is None else environment
    hidden = {each for name, each in found.items() if _VARIABLE.search(name) and len(each) >= _SHORTEST}
    return _plain(value, sorted(hidden, key=len, reverse=True))


def _plain(value: Any, hidden: Sequence[str]) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {
            _text(str(key), hidden): LEFT_OUT
            if isinstance(each, str) and _NAME.search(str(key))
            else _plain(each, hidden)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        words = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return _words([_plain(each, hidden) for each in words])
    if isinstance(value, (str, PurePath)):
        return _text(str(value), hidden)
    text = str(value)
    if " at 0x" in text:  # an address says nothing, and differs in every process
        text = f"{type(value).__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return _text(text, hidden)


def _words(words: list[Any]) -> list[Any]:
    """A command line's words: what follows an option with the name of a secret, or stands behind its ``=``."""
    for i, word in enumerate(words):
        if not isinstance(word, str) or not word.startswith("-"):
            continue
        name, equals, _ = word.partition("=")
        if _NAME.search(name) and equals:
            words[i] = f"{name}={LEFT_OUT}"
        elif _NAME.search(name) and i + 1 < len(words):
            words[i + 1] = LEFT_OUT
    return words


def _text(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, LEFT_OUT)
    text = _SHAPE.sub(LEFT_OUT, text)
    return _ADDRESS.sub(LEFT_OUT, text) if "@" in text else text
