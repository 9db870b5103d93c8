"""One small problem for every search system: a program that returns eight digits, a reward for each that is right.

No dependencies, so that any interpreter can import it. What it takes is set by the environment: SLOTS_MODEL_S seconds
of a model's time for an answer, SLOTS_EVALUATE_S seconds of an evaluator's.
"""

from __future__ import annotations

import os
import random
import re

TARGET = [3, 1, 4, 1, 5, 9, 2, 6]
MODEL_S = float(os.environ.get("SLOTS_MODEL_S", "0"))
EVALUATE_S = float(os.environ.get("SLOTS_EVALUATE_S", "0"))
SEED_PROGRAM = "def solve():\n    return [0, 0, 0, 0, 0, 0, 0, 0]\n"


def program(rng: random.Random) -> str:
    """What the scripted model writes."""
    return f"def solve():\n    return {[rng.randrange(10) for _ in TARGET]}\n"


def score(text: str) -> list[float]:
    """Reward of each digit."""
    found = re.search(r"return \[([\d, ]*)\]", text)
    digits = [int(each) for each in found[1].split(",")] if found else []
    if len(digits) != len(TARGET):
        return [0.0] * len(TARGET)
    return [float(digit == wanted) for digit, wanted in zip(digits, TARGET, strict=True)]
