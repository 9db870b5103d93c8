"""A loop whose state overflows: how many of its loops have numbers, and what is said of the others.

After an overflow nothing is defined: no loss, no divergence to a capped output, no best loop in hindsight. So a report
keeps to the loops before it, and the overflow is its verdict.

Shape letters: R loops, N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.depth.collect import Collected


@dataclass(frozen=True)
class Overflow:
    """Where a trajectory stops being numbers.

    Args:
        sound: Loops, from the first on, after which every token has a finite state and loss.
        share: Share of tokens without them after the last loop that was run.
        loops: R, how many were run.
    """

    sound: int
    share: float
    loops: int

    @property
    def text(self) -> str:
        """What was seen, in a sentence."""
        return (
            f"The state of {self.share:.0%} of the tokens overflows within {self.loops} loops, for the first time in "
            f"loop {self.sound + 1}: all numbers are of the {self.sound} loops before."
        )


def overflow(raw: Collected) -> Overflow | None:
    """The overflow among R loops that were run; None if there is none.

    Raises:
        ValueError: It comes so early that fewer than two loops are left to compare.
    """
    finite = raw.loops.cross_entropy.isfinite()
    states = np.asarray(raw.per_loop["finite"])
    is_sound = finite.all(1).numpy() & (states == 1)
    sound, loops = int(np.logical_and.accumulate(is_sound).sum()), len(is_sound)
    if sound == loops:
        return None
    share = 1 - min(float(states[-1]), float(finite[-1].double().mean()))
    if sound < 2:
        raise ValueError(
            f"the state of {share:.0%} of the tokens overflows, for the first time in loop {sound + 1}: expected 2 "
            "loops or more with finite states and losses. Load the model in a wider dtype, or control the scale of its "
            "state (scale_control)."
        )
    return Overflow(sound, share, loops)
