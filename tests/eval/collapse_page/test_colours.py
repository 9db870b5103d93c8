"""Twelve fills that readers with any common colour blindness can tell apart, in light and in dark surroundings.

Colour blindness is simulated after Machado, Oliveira and Fernandes (2009), severity 1; distances are CIE 1976 in
L*a*b*, where 2.3 is the least that is seen side by side (Mahy et al. 1994).
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from eval.report.collapse.labels import MOST_LABELS
from eval.report.styles import area_styles

STYLE_SHEET = Path(__file__).parents[3] / "eval" / "templates" / "report.css"
SEEN = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
JUST_NOTICED = 2.3
STYLES = list(area_styles(str(number) for number in range(MOST_LABELS)).values())


def colours(scheme: str) -> dict[str, str]:
    light, dark = STYLE_SHEET.read_text(encoding="utf-8").split("@media (prefers-color-scheme: dark)")[:2]
    found = dict(re.findall(r"--c?-?([a-z]+): (#[0-9a-f]{6})", light))
    return found if scheme == "light" else found | dict(re.findall(r"--c?-?([a-z]+): (#[0-9a-f]{6})", dark))


def lab(colour: str, sight: str) -> np.ndarray:
    """L*a*b* of ``#rrggbb`` as somebody of that sight sees it."""
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(SEEN[sight]) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    scaled = np.array(to_xyz) @ linear / np.array([0.95047, 1.0, 1.08883])
    root = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def distance(one: str, other: str, sight: str) -> float:
    return float(np.linalg.norm(lab(one, sight) - lab(other, sight)))


def test_the_simulation_knows_black_white_and_red_from_green() -> None:
    # Black to white is 100 by definition of L*, for every sight: rows of the matrices sum to 1.
    assert all(abs(distance("#000000", "#ffffff", sight) - 100) < 0.1 for sight in SEEN)
    assert distance("#ff0000", "#888800", "deuteranopia") < 0.5 * distance("#ff0000", "#888800", "normal")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SEEN)
def test_any_two_fills_differ_in_colour_or_in_pattern(sight: str, scheme: str) -> None:
    known = colours(scheme)
    for one, other in itertools.combinations(STYLES, 2):
        if one.pattern == other.pattern:
            assert distance(known[one.colour], known[other.colour], sight) > 4 * JUST_NOTICED, (one, other)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SEEN)
def test_fills_that_lie_on_each_other_differ_clearly(sight: str, scheme: str) -> None:
    known = colours(scheme)
    for below, above in itertools.pairwise(STYLES):
        assert distance(known[below.colour], known[above.colour], sight) > 10 * JUST_NOTICED, (below, above)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SEEN)
def test_patterns_and_alarm_marks_stand_out_from_every_fill(sight: str, scheme: str) -> None:
    known = colours(scheme)
    for style in STYLES:
        assert abs(lab(known["hatch"], sight)[0] - lab(known[style.colour], sight)[0]) > 40
        assert distance(known["mark"], known[style.colour], sight) > 20
