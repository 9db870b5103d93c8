"""What counts as a reward: checks what a reward function returned for its answers, and makes plain vectors of it.

A reward is a finite number (bool, Python, numpy or torch), or a list, tuple, 1-D array or dict of them, with the same
components for every answer of a run. None, for a whole reward or for a component, is TRL's "does not apply here": a
prompt with three tests of at most sixteen, a task among several. Everything else is a `RewardError` that names the
function, place and value; nothing is repaired, since a silently wrong reward costs a training run.

Shape letters: D components.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

_FLOAT32_MAX = (2 - 2.0**-23) * 2.0**127  # rewards become float32 tensors


class RewardError(ValueError):
    """A reward function failed, or returned something that is no reward."""


def reward_failed(func_name: str, error: Exception, call: Mapping[str, Any]) -> RewardError:
    """What to say of a function that raised.

    Args:
        func_name: Its name.
        error: What it raised.
        call: The arguments that it was called with; ``completions`` holds the answers.
    """
    answers = call["completions"]
    said = f"reward function '{func_name}' raised {type(error).__name__} on {len(answers)} answers: {error}. "
    if isinstance(error, TypeError) and "required" in str(error):
        return RewardError(
            f"{said}It was called with {', '.join(call)}: expected a column of the dataset for each other argument. "
            "Rename one of the two, or give the argument a default."
        )
    said += "Expected a reward for any text that a model may write. Catch what a bad answer can cause; score it low."
    if isinstance(error, (TypeError, AttributeError, KeyError)):
        kind = "text, as the prompts are" if isinstance(answers[0], str) else "a list with one chat message, as prompts"
        said += (
            f" Each answer is {kind}; a function for the other kind fails like this (TRL's accuracy_reward reads chat "
            "messages)."
        )
    return RewardError(said)


def check_rewards(
    output: Any, places: Sequence[tuple[int, int]], func_name: str, components: tuple[str, ...] | None
) -> tuple[list[list[float]], tuple[str, ...] | None]:
    """Turn the output of a reward function into reward vectors.

    Args:
        output: What the function returned.
        places: For each answer that it was given, the row of its completion in the batch and the answer's number.
        func_name: The function's name, for messages and for naming components.
        components: The names of the D components if known; else they are taken from the first reward: a dict's keys,
            ``name[0]``, ``name[1]``... for a list, the function's name for a number.

    Returns:
        One vector of D floats an answer, NaN where None was returned and finite elsewhere, and the names of the
        components (None if they are still unknown).

    Raises:
        RewardError: The count is wrong, a value is not a finite float32 number, or the components differ.
    """
    output = _plain(output)
    if isinstance(output, (str, bytes, dict)) or not isinstance(output, Iterable):
        raise RewardError(
            f"reward function '{func_name}' returned {_show(output)}: expected a list with one reward for each of the "
            f"{len(places)} answers. Score every entry of `completions`, in order."
        )
    rewards = list(output)
    if len(rewards) != len(places):
        raise RewardError(
            f"reward function '{func_name}' returned {len(rewards)} rewards: expected {len(places)}, one an answer. "
            "Score every entry of `completions`, in order; skip none, and do not score once a prompt."
        )
    vectors = []
    if components is None:  # a None that comes first must not decide how many there are
        rewards = [_plain(reward) for reward in rewards]
        shown = next((reward for reward in rewards if reward is not None), None)
        with suppress(ValueError):  # it is found again below, where its place is known
            components = _vector(shown, func_name, None)[1] if rewards else None
    for place, reward in zip(places, rewards, strict=True):
        try:
            vector, names = _vector(_plain(reward), func_name, components)
        except ValueError as error:
            row, number = place
            raise RewardError(
                f"reward function '{func_name}' returned {_show(reward)} for answer {number} of completion {row} of "
                f"the batch: {error}"
            ) from None
        vectors.append(vector)
        components = names
    return vectors, components


def _vector(reward: Any, func_name: str, components: tuple[str, ...] | None) -> tuple[list[float], tuple[str, ...]]:
    if reward is None:
        names = components or (func_name,)
        return [math.nan] * len(names), names
    if isinstance(reward, dict):
        entries = {str(name): entry for name, entry in reward.items()}
        if components is not None and set(entries) == set(components):
            entries = {name: entries[name] for name in components}  # the order of a dict's keys does not matter
        names, values = tuple(entries), [_number(entry) for entry in entries.values()]
        fits = components is None or names == components
    else:
        is_vector = isinstance(reward, (list, tuple))
        values = [_number(entry) for entry in reward] if is_vector else [_number(reward)]
        names = tuple(f"{func_name}[{index}]" for index in range(len(values))) if is_vector else (func_name,)
        fits = components is None or len(values) == len(components)
    if not values:
        raise ValueError("expected at least one component. Return a number, or a list of numbers.")
    if not fits:
        raise ValueError(
            f"expected the components {', '.join(components or ())}. Return the same components for every answer of "
            "the run, with None where one does not apply."
        )
    return values, components or names


def _number(entry: Any) -> float:
    entry = _plain(entry)
    if entry is None:
        return math.nan
    if not isinstance(entry, numbers.Real):
        raise ValueError(
            "expected a finite number, or a list or dict of them. Where a reward does not apply, return None."
        )
    try:
        value = float(entry)
    except OverflowError:  # an int of more than 308 digits
        value = math.inf
    if not abs(value) <= _FLOAT32_MAX:  # NaN fails every comparison
        raise ValueError(
            "expected a finite number within float32. Find the cause, return the lowest reward, or None where the "
            "reward does not apply."
        )
    return value


def _plain(value: Any) -> Any:
    """Tensors, arrays and their scalars as plain Python."""
    return value.tolist() if hasattr(value, "tolist") else value


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
