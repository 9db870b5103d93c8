"""Which layers of a stack are prelude, core and coda, and how one says it.

A part is a number of layers (``8``: the next eight), or the layers themselves: ``[10, 12, 14]``, ``range(8, 22)``,
``"10,12,14"``, ``"8-21"``. On a command line a bare ``"8"`` is a number of layers; one single layer is ``"8-8"``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Part = int | str | Sequence[int]


class Parts(NamedTuple):
    """The layers of each part, as indices into the stack that they come from; ``convert(model, *parts)`` takes it.

    Args:
        prelude: Run once before the loop.
        core: Looped.
        coda: Run once after it.
    """

    prelude: tuple[int, ...]
    core: tuple[int, ...]
    coda: tuple[int, ...]

    @property
    def kept(self) -> tuple[int, ...]:
        """All layers that are in a part, in order."""
        return self.prelude + self.core + self.coda


def read_parts(prelude: Part, core: Part, coda: Part, num_layers: int, drop_rest: bool = False) -> Parts:
    """Work out which layers a division of a stack names.

    Args:
        prelude: Layers before the loop. A number takes the layers that follow the part before it.
        core: Layers of the loop.
        coda: Layers after it.
        num_layers: Layers of the stack.
        drop_rest: Whether layers in no part may be left out.

    Returns:
        The three parts.

    Raises:
        ValueError: A part cannot be read, names a layer that is not there, or has them out of order; a layer is in two
            parts; a layer is in none and ``drop_rest`` is not set; the core is empty.
    """
    found: dict[str, tuple[int, ...]] = {}
    following = 0
    for name, part in (("prelude", prelude), ("core", core), ("coda", coda)):
        layers = _layers(name, part, following, num_layers)
        _check_part(name, layers, found)
        found[name] = layers
        following = layers[-1] + 1 if layers else following
    if not found["core"]:
        raise ValueError(f"core is {core!r}: expected one layer at least, or there is nothing to loop.")
    rest = sorted(set(range(num_layers)) - {i for layers in found.values() for i in layers})
    if rest and not drop_rest:
        raise ValueError(
            f"of the model's layers 0-{num_layers - 1}, {spell(rest)} are in no part. Add them to one, or leave them "
            "out on purpose with drop_rest=True (--drop-rest)."
        )
    return Parts(**found)


def spell(layers: Sequence[int]) -> str:
    """Indices in the notation that :func:`read_parts` reads: ``"0-7"``, ``"10,12,14"``, ``"8-8"``; ``"none"``."""
    runs: list[list[int]] = []
    for i in layers:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    if len(runs) == 1:
        return f"{runs[0][0]}-{runs[0][-1]}"
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs) or "none"


def _layers(name: str, part: Part, following: int, num_layers: int) -> tuple[int, ...]:
    """The layers that one part names, ``following`` being the first after the part before."""
    if isinstance(part, str):
        part = _parse(name, part)
    if isinstance(part, int):
        if isinstance(part, bool) or part < 0:
            raise ValueError(f"{name} is {part!r}: expected a number of layers, 0 or more.")
        if following + part > num_layers:
            raise ValueError(
                f"{name}={part} takes layers {following}-{following + part - 1}, but the model's last layer is "
                f"{num_layers - 1}: the parts hold too many layers."
            )
        return tuple(range(following, following + part))
    layers = tuple(part)
    wrong = [i for i in layers if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < num_layers]
    if wrong:
        raise ValueError(f"{name} names layer {wrong[0]!r}: the model has layers 0-{num_layers - 1}.")
    return layers


def _parse(name: str, text: str) -> int | list[int]:
    text = text.replace(" ", "")
    if re.fullmatch(r"\d+", text):
        return int(text)
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ValueError(
            f"{name} is {text!r}: expected a number of layers as '8', a range as '8-21', or indices as '10,12,14'."
        )
    bounds = [[int(end) for end in piece.split("-")] for piece in text.split(",")]
    empty = [f"{ends[0]}-{ends[1]}" for ends in bounds if ends[0] > ends[-1]]
    if empty:
        raise ValueError(f"{name} holds the range {empty[0]}, which runs backwards: write the lower layer first.")
    return [i for ends in bounds for i in range(ends[0], ends[-1] + 1)]


def _check_part(name: str, layers: tuple[int, ...], before: dict[str, tuple[int, ...]]) -> None:
    """Refuse layers that are in an earlier part as well, or out of order."""
    for other, taken in before.items():
        twice = sorted(set(taken) & set(layers))
        if twice:
            raise ValueError(
                f"layer {twice[0]} is in the {other} and in the {name}: every layer belongs to one part at most."
            )
    stack = [*(i for taken in before.values() for i in taken), *layers]
    for last, this in pairwise(stack):
        if this <= last:
            raise ValueError(
                f"{name} has layer {this} after layer {last}: a layer is trained to follow the ones before it, so the "
                "parts keep the model's order. List them in ascending order, each once."
            )
