"""What an alarm saw, a sentence for each quantity, in the numbers that people think in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.collapse.records import Quantity

_MOST = 4


def what_moved(named: Sequence[Quantity], values: Mapping[str, NDArray[np.float64]]) -> str:
    """Sentences for the quantities that an alarm names.

    Args:
        named: Strongest evidence first.
        values: Quantity -> its numbers at the look.
    """
    # The format first, which verdicts are about; else by evidence.
    ordered = sorted(named, key=lambda each: each.facet not in ("", "format"))
    sentences = [_sentence(each, values.get(each.name)) for each in ordered[:_MOST]]
    if len(ordered) > _MOST:
        sentences.append(f"And {len(ordered) - _MOST} more: {', '.join(each.name for each in ordered[_MOST:])}.")
    return " ".join(sentences)


def _sentence(quantity: Quantity, values: NDArray[np.float64] | None) -> str:
    bound, base = quantity.bound, quantity.base if quantity.base is not None else float("nan")
    if values is None:  # not measured at this look; its evidence is of earlier ones
        return f"{quantity.name} is above its bound of {bound:.2f} by the evidence of earlier looks."
    now = float(values.mean())
    sentence = _measured(quantity, now, base)
    if now <= bound:  # every quantity is worse when it is larger
        return f"{sentence.removesuffix('.')}, which is within the bound again: the evidence is of earlier looks."
    return sentence


def _measured(quantity: Quantity, now: float, base: float) -> str:
    bound = quantity.bound
    if quantity.kind == "share":
        what = f"{quantity.facet.capitalize()} {quantity.label!r} has {now:.0%} of samples"
        return f"{what} ({base:.0%} at the reference, bound {bound:.0%})."
    if quantity.kind == "others":
        what = f"{now:.0%} of samples have another {quantity.facet} than those that the reference commonly has"
        return f"{what} ({base:.0%} there, bound {bound:.0%})."
    if quantity.kind == "collision":
        what = f"A prompt's samples show {_inverse(now)} effective {quantity.facet}s"
        return f"{what} ({_inverse(base)} at the reference, alarm below {_inverse(bound)})."
    if quantity.kind == "broken":
        what = f"{now:.0%} of samples are empty, cut off or endless"
        return f"{what} ({base:.0%} at the reference, bound {bound:.0%})."
    if quantity.kind == "coverage":
        what = f"{quantity.k} samples leave {now:.0%} of prompts unsolved"
        return f"{what} ({base:.0%} at the reference, bound {bound:.0%})."
    what = f"pass@{quantity.k} is {2 * now - 1:.3f} below the base model's on the same prompts"
    return f"{what} (bound {2 * bound - 1:.3f})."


def _inverse(collision: float) -> str:
    return f"{1 / collision:.2f}" if collision > 0 else "many"
