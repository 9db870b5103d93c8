"""The maze task: generator, routes, controls, drawing."""

from __future__ import annotations

from vpo.tasks.maze.grid import Maze, MazeConfig
from vpo.tasks.maze.task import MazeTask

__all__ = ["Maze", "MazeConfig", "MazeTask"]
