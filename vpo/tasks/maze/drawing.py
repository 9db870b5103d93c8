"""A maze with routes as a small SVG, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vpo.tasks.maze.grid import Cell, Maze

_CELL = 40
_FILL = {"#": "#5b6068", "G": "#fbeaa8", "D": "#d3edfb", "L": "#f8cbb0", "B": "#e3d7f4"}
_PLAIN = "#ffffff"
# Okabe-Ito, readable to colour-blind eyes; dashes tell routes apart without colour.
_STROKES = (("#0072B2", ""), ("#D55E00", "7 4"), ("#009E73", "2 4"), ("#CC79A7", "10 3 2 3"), ("#000000", "1 6"))


def draw_routes(maze: Maze, routes: Sequence[Sequence[Cell]], title: str) -> str:
    """SVG of a maze with its most frequent routes, one line for each different one, the wider the more frequent.

    At most five are drawn, beyond that a reader tells nothing apart; a line of text says how many there are.

    Args:
        maze: The maze.
        routes: Cells after the start, one list a route; illegal ones are expected to be cut already.
        title: Accessible name of the drawing.
    """
    side = maze.size * _CELL
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {side + 4} {side + 24}" role="img" '
        f'aria-label="{escape(title, quote=True)}">',
    ]
    for r, row in enumerate(maze.rows()):
        for c, symbol in enumerate(row):
            x, y = c * _CELL, r * _CELL
            fill = _FILL.get(symbol, _PLAIN)
            parts.append(f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{fill}" stroke="#b8bcc2"/>')
            if symbol.isalpha():
                parts.append(
                    f'<text x="{x + 5}" y="{y + 14}" font-size="12" font-family="sans-serif" fill="#222">'
                    f"{symbol}</text>"
                )
    counts: dict[tuple[Cell, ...], int] = {}
    for route in routes:
        counts[tuple(route)] = counts.get(tuple(route), 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    for i, (route, count) in enumerate(ranked[: len(_STROKES)]):
        colour, dash = _STROKES[i]
        # Each route has its own lane, so that those which share cells stay visible, clear of the letter in the corner.
        shift = 0.58 * _CELL + 3.4 * (i - 2)
        points = " ".join(f"{c * _CELL + shift:.1f},{r * _CELL + shift:.1f}" for r, c in [maze.start, *route])
        width = 1.5 + 3.0 * count / len(routes)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width:.1f}" '
            f'stroke-linejoin="round" stroke-linecap="round" opacity="0.85"{dashes}/>'
        )
    drawn = f", {len(_STROKES)} drawn" if len(ranked) > len(_STROKES) else ""
    parts.append(
        f'<text x="0" y="{side + 16}" font-size="12" font-family="sans-serif" fill="#333">'
        f"{len(ranked)} different route{'' if len(ranked) == 1 else 's'}{drawn}</text></svg>"
    )
    return "".join(parts)
