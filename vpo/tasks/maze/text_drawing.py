"""A maze with one route as text: plain ASCII for a log, box-drawing characters for a terminal or a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from vpo.tasks.maze.grid import Cell, Maze

TextStyle = Literal["ascii", "box"]
# What joins a cell to its neighbours, as a set of directions: up, down, left, right.
_LINES = {
    "": "·", "U": "╵", "D": "╷", "L": "╴", "R": "╶", "DU": "│", "LR": "─", "DR": "┌", "DL": "┐", "RU": "└", "LU": "┘",
    "DRU": "├", "DLU": "┤", "DLR": "┬", "LRU": "┴", "DLRU": "┼",
}  # fmt: skip
_DIRECTION = {(-1, 0): "U", (1, 0): "D", (0, -1): "L", (0, 1): "R"}
_BACK = {"U": "D", "D": "U", "L": "R", "R": "L"}


def draw_text(maze: Maze, route: Sequence[Cell] = (), style: TextStyle = "box") -> str:
    """Lines of a maze, a frame around it, with one route.

    Args:
        maze: The maze.
        route: Cells after the start; an illegal rest is expected to be cut already.
        style: "ascii": symbols as in the prompt, cells of the route as ``*`` where they hold nothing. "box": walls as
            blocks and the route as a line through all of its cells, crossings included; symbols stay where they are,
            followed by the line.

    Raises:
        ValueError: There is no such style, or the route leaves the grid or jumps.
    """
    if style not in get_args(TextStyle):
        raise ValueError(f"style is {style!r}: expected one of {', '.join(get_args(TextStyle))}.")
    joined = _joined(maze, route)
    rows = maze.rows()
    if style == "ascii":
        lines = [
            "| " + " ".join("*" if s == "." and (r, c) in joined else s for c, s in enumerate(row)) + " |"
            for r, row in enumerate(rows)
        ]
        edge = "+" + "-" * (2 * maze.size + 1) + "+"
        return "\n".join([edge, *lines, edge])
    body = ["│" + "".join(_box(s, joined.get((r, c))) for c, s in enumerate(row)) + "│" for r, row in enumerate(rows)]
    width = 3 * maze.size
    return "\n".join(["┌" + "─" * width + "┐", *body, "└" + "─" * width + "┘"])


def _joined(maze: Maze, route: Sequence[Cell]) -> dict[Cell, set[str]]:
    """For each cell of the route, the directions in which it goes on."""
    joined: dict[Cell, set[str]] = {maze.start: set()} if route else {}
    position = maze.start
    for cell in route:
        direction = _DIRECTION.get((cell[0] - position[0], cell[1] - position[1]))
        if direction is None or not all(0 <= each < maze.size for each in cell):
            raise ValueError(f"the route goes from {position} to {cell}: expected a cell beside it. Cut it before.")
        joined[position].add(direction)
        joined.setdefault(cell, set()).add(_BACK[direction])
        position = cell
    return joined


def _box(symbol: str, directions: set[str] | None) -> str:
    """Three characters of a cell: to the left of the middle, the middle, to the right."""
    if symbol == "#":
        return "███"
    if directions is None:
        return f" {'·' if symbol == '.' else symbol} "
    middle = _LINES["".join(sorted(directions))] if symbol == "." else symbol
    return ("─" if "L" in directions else " ") + middle + ("─" if "R" in directions else " ")
