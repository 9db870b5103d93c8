"""Draws the pictures of docs/method.md: `python docs/figures/draw.py` from the root of the checkout.

Every number in them is computed by `vpo.objective`, so that a picture cannot say what the code does not do; a test
draws them again and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import torch

from vpo.objective import exact_set_reward, group_advantages

FOLDER = Path(__file__).parent
COLORS = ("#3949ab", "#00897b", "#d84315")
INK, SOFT = "#263238", "#90a4ae"
# (gold, diamonds) of three answers: two specialists and a compromise above the line between them.
SET = torch.tensor([[0.9, 0.2], [0.65, 0.65], [0.1, 0.95]])
COPIES = torch.tensor([[0.65, 0.65]] * 3)
ALIKE = torch.tensor([[0.9, 0.2], [0.9, 0.2], [0.85, 0.3]])
POOR = torch.tensor([[0.3, 0.1], [0.2, 0.2], [0.1, 0.3]])


def value(answers: torch.Tensor) -> float:
    """Set reward under all tastes of two components (alpha = 1), without sampling error."""
    return exact_set_reward(answers, torch.ones(2)).item()


def svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    """A picture on a light ground, so that it can be read on a dark page too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="sans-serif" font-size="14" fill="{INK}">\n<title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#fafafa"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def text(x: float, y: float, words: str, anchor: str = "start", color: str = INK, size: int = 14) -> str:
    """Words that begin, end or have their middle at ``x``."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{color}" font-size="{size}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, color: str = SOFT, fill: str = "white") -> str:
    """A rectangle with round corners."""
    size = f'width="{width:g}" height="{height:g}"'
    return f'<rect x="{x:g}" y="{y:g}" {size} rx="6" fill="{fill}" stroke="{color}" stroke-width="1.5"/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """An arrow, horizontal or downwards."""
    sign = 1 if x2 > x1 else -1
    tip = f"M{x2:g} {y2:g} l{-8 * sign} -5 v10 z" if y1 == y2 else f"M{x2:g} {y2:g} l-5 -8 h10 z"
    return f'<path d="M{x1:g} {y1:g} L{x2:g} {y2:g}" stroke="{INK}" fill="none"/><path d="{tip}"/>'


def way() -> str:
    """From a prompt to advantages."""
    parts = [box(16, 70, 130, 84), text(81, 104, "prompt", "middle"), text(81, 126, "asks for 3", "middle", size=12)]
    parts += [arrow(146, 112, 180, 112), box(182, 24, 176, 176), text(270, 46, "a completion", "middle")]
    for i, color in enumerate(COLORS):
        parts += [
            box(196, 58 + 46 * i, 148, 36, color),
            text(270, 81 + 46 * i, f"<answer_{i + 1}> ...", "middle", color),
        ]
    parts += [arrow(358, 112, 392, 112), box(394, 24, 176, 176), text(482, 46, "reward vectors", "middle")]
    for i, (row, color) in enumerate(zip(SET.tolist(), COLORS, strict=True)):
        parts.append(text(482, 81 + 46 * i, f"gold {row[0]:.2f}  diamonds {row[1]:.2f}", "middle", color, 13))
    parts += [arrow(570, 112, 604, 112), box(606, 70, 170, 84), text(691, 98, "set reward", "middle")]
    parts += [
        text(691, 118, "best answer for each", "middle", size=12),
        text(691, 136, "taste, averaged", "middle", size=12),
    ]
    scores = torch.tensor([value(each) for each in (SET, COPIES, ALIKE, POOR)])
    shown = zip(("three kinds", "three copies", "two copies", "weak"), scores, group_advantages(scores, 4), strict=True)
    parts.append(text(16, 240, "a group: 4 completions of the prompt, their set rewards and what they are paid:"))
    for i, (name, score, advantage) in enumerate(shown):
        x = 16 + 192 * i
        parts += [box(x, 254, 180, 56), text(x + 90, 276, name, "middle", size=13)]
        parts.append(text(x + 90, 298, f"R = {score:.3f},  A = {advantage:+.2f}", "middle", size=13))
    return svg(792, 326, parts, "From a prompt to advantages")


def tastes() -> str:
    """Utility of three answers by taste, and the envelope whose mean is the set reward."""
    left, top, width, height = 60, 24, 440, 250

    def at(t: float, u: float) -> tuple[float, float]:
        return left + width * t, top + height * (1 - u)

    steps = [i / 200 for i in range(201)]
    lines = [[t * gold + (1 - t) * diamonds for t in steps] for gold, diamonds in SET.tolist()]
    best = [max(values) for values in zip(*lines, strict=True)]
    area = " ".join(
        f"{x:.1f},{y:.1f}" for x, y in [at(0, 0), *(at(t, u) for t, u in zip(steps, best, strict=True)), at(1, 0)]
    )
    parts = [f'<polygon points="{area}" fill="#c5cae9" opacity=".5"/>', box(left, top, width, height, fill="none")]
    for values, color, (gold, diamonds) in zip(lines, COLORS, SET.tolist(), strict=True):
        (x1, y1), (x2, y2) = at(0, values[0]), at(1, values[-1])
        parts.append(f'<path d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}" stroke="{color}" stroke-width="1.5"/>')
        parts.append(text(x2 + 8, y2 + 5, f"answer ({gold:g}, {diamonds:g})", color=color, size=13))
    edge = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(t, u) for t, u in zip(steps, best, strict=True)))
    parts.append(f'<polyline points="{edge}" fill="none" stroke="{INK}" stroke-width="3"/>')
    parts += [
        text(left, 296, "all weight on diamonds", size=12),
        text(left + width, 296, "all on gold", "end", size=12),
    ]
    parts += [text(left - 8, top + 8, "1", "end", size=12), text(left - 8, top + height, "0", "end", size=12)]
    parts.append(
        text(left, 322, f"set reward: mean height of the thick line = {value(SET):.3f};  three copies of the middle")
    )
    parts.append(text(left, 342, f"answer {value(COPIES):.3f}, of the first {value(SET[:1].repeat(3, 1)):.3f}"))
    return svg(660, 356, parts, "The best of a set for every taste")


def loop() -> str:
    """A looped policy: prelude, core, coda; tokens that stop at depths of their own."""
    parts = [box(30, 40, 110, 50), text(85, 70, "prelude", "middle"), arrow(140, 65, 188, 65)]
    parts += [box(190, 40, 130, 50, COLORS[0]), text(255, 70, "core", "middle", COLORS[0]), arrow(320, 65, 368, 65)]
    parts += [box(370, 40, 110, 50), text(425, 70, "coda", "middle"), arrow(480, 65, 528, 65), text(536, 70, "logits")]
    parts.append(f'<path d="M300 90 v26 h-90 v-22" stroke="{COLORS[0]}" fill="none" stroke-width="1.5"/>')
    parts.append(f'<path d="M210 90 l-5 8 h10 z" fill="{COLORS[0]}"/>')
    parts.append(text(255, 134, "again, until this token's state has settled, or at the cap", "middle", size=12))
    depths = (1, 3, 2, 4, 1, 2)
    for token, depth in enumerate(depths):
        x = 60 + 84 * token
        for t in range(4):
            parts.append(
                box(x, 262 - 26 * t, 56, 20, COLORS[0] if t < depth else "#cfd8dc", "#c5cae9" if t < depth else "white")
            )
        parts.append(text(x + 28, 302, f"token {token + 1}: {depth}", "middle", size=12))
    parts.append(
        text(
            60,
            326,
            "the depths are recorded while sampling; training computes log-probabilities at exactly these",
            size=12,
        )
    )
    return svg(650, 342, parts, "A looped policy and the depths of its tokens")


PICTURES = {"way.svg": way, "tastes.svg": tastes, "loop.svg": loop}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw())
        print(f"wrote {FOLDER / name}")
