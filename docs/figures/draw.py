"""Draws the pictures of the guides and of the README: `python docs/figures/draw.py` from the root of the checkout.

Every number in them is computed by `vpo.objective` or read from `benchmarks/results/`, so that a picture cannot say
what the code does not do; a test draws them again and compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import torch

from vpo.objective import exact_set_reward, group_advantages

FOLDER = Path(__file__).parent
MAZE = FOLDER.parents[1] / "benchmarks" / "results" / "maze.json"
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


def maze() -> str:
    """E_w[best@k] on mazes by the number of answers, from the results of `python benchmarks/maze.py`."""
    results = json.loads(MAZE.read_text())
    left, top, width, height, low, high = 60, 44, 430, 260, 0.5, 0.9
    ks = (1, 3, 6, 30)

    def at(k: float, value: float) -> tuple[float, float]:
        return left + width * math.log(k) / math.log(ks[-1]), top + height * (high - value) / (high - low)

    parts = [text(left, 28, "the best of k answers for a random taste, E_w[best@k]", size=14)]
    for value in (0.5, 0.6, 0.7, 0.8, 0.9):
        y = at(1, value)[1]
        parts.append(
            f'<path d="M{left} {y:.1f} h{width}" stroke="#eceff1"/>'
            + text(left - 8, y + 4, f"{value:.1f}", "end", size=12)
        )
    for k in ks:
        parts.append(text(at(k, low)[0], top + height + 20, f"{k}", "middle", size=12))
    parts.append(text(left + width / 2, top + height + 42, "answers to one maze, k", "middle", size=12))
    arms = {"VPO": COLORS[0], "GRPO": COLORS[2], "base": SOFT}
    ends = {"VPO": "VPO", "GRPO": "GRPO", "base": "before RL"}
    for arm, color in arms.items():
        row = results["metrics"][arm]
        points = [at(k, row[f"E_w[{k}]"]["mean"]) for k in ks]
        parts.append(
            f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" stroke="{color}" '
            'stroke-width="2.5"/>'
        )
        for k, (x, y) in zip(ks, points, strict=True):
            own = row[f"E_w[{k}]"]["by_seed"]
            spread = 2 * math.sqrt(sum((v - sum(own) / len(own)) ** 2 for v in own) / (len(own) - 1) / len(own))
            reach = height * spread / (high - low)
            parts.append(
                f'<path d="M{x:.1f} {y - reach:.1f} v{2 * reach:.1f}" stroke="{color}" stroke-width="5" opacity=".35"/>'
            )
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>')
        shift = {"base": 14}.get(arm, 0)
        parts.append(
            text(
                points[-1][0] + 10, points[-1][1] + 5 + shift, ends[arm], color=color if arm != "base" else INK, size=13
            )
        )
    blind = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(k, results["blind"][f"E_w[{k}]"]) for k in ks[1:]))
    parts.append(f'<polyline points="{blind}" fill="none" stroke="{SOFT}" stroke-dasharray="3 4" stroke-width="1.5"/>')
    parts.append(text(at(30, 0)[0] + 10, at(30, results["blind"]["E_w[30]"])[1] - 8, "blind routes", size=13))
    best = at(1, results["oracle"]["E_w"])[1]
    parts.append(f'<path d="M{left} {best:.1f} h{width}" stroke="{INK}" stroke-dasharray="6 4"/>')
    parts.append(text(left + width + 10, best + 5, "all routes", size=13))
    seeds = len(results["seeds"])
    parts.append(
        text(
            left,
            top + height + 64,
            f"100 held-out mazes, means over {seeds} seeds of training, bars of two standard errors",
            size=12,
        )
    )
    return svg(620, 384, parts, "The best of k answers on mazes")


PICTURES = {"way.svg": way, "tastes.svg": tastes, "loop.svg": loop, "maze.svg": maze}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw())
        print(f"wrote {FOLDER / name}")
