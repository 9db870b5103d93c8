"""The maze as a task: prompts, vector reward, scalar w*, warm-start answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from vpo.answers import AnswerFormat, completion_text
from vpo.tasks.maze.controls import oracle_front
from vpo.tasks.maze.grid import Maze, MazeConfig, mazes
from vpo.tasks.maze.routes import (
    COMPONENTS,
    WORDS,
    Notation,
    RewardVariant,
    cell_name,
    route_kind,
    score_route,
    teacher_route,
    walk,
    write_route,
)
from vpo.tasks.maze.wording import explain

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class MazeTask:
    """Four-component maze: completion, gold, diamonds, no_lava.

    A prompt is the grid, one symbol a cell, the step budget and the number of routes asked for, in words that a
    word-level tokenizer and a reader both understand; or a chat message that explains all of it.

    Args:
        maze: What the mazes look like; a mapping is taken as the fields of a `MazeConfig`, as recipes give it.
        notation: ``cells`` (learned far sooner by a small policy), ``moves``, or ``directions`` (moves in words).
        reward: ``linear``, the shares themselves, or ``convex_bonus``, their squares, times 1.5 on a route by the bonus
            tile (which ``maze.bonus`` lays): the authors' files disagree on it, see `vpo.tasks.maze.routes`.
        wording: ``grid``, for a policy that knows nothing else; ``chat``, for a language model. The latter does not say
            how many routes to give: that is the trainer's request (``ask_for_answers``).
        hidden_share: Share of the cells shown as a question mark, drawn by maze; start and exit are always shown.
        seed: Seed of the stream of mazes and of the hidden cells.
    """

    maze: MazeConfig = field(default_factory=MazeConfig)
    notation: Notation = "cells"
    wording: Literal["grid", "chat"] = "grid"
    hidden_share: float = 0.0
    seed: int = 0
    reward: RewardVariant = "linear"

    name = "maze"
    components = COMPONENTS
    w_star = (0.25, 0.25, 0.25, 0.25)
    tag = "route"

    def __post_init__(self) -> None:
        if not 0.0 <= self.hidden_share < 1.0:
            raise ValueError(f"hidden_share is {self.hidden_share}: expected a share in [0, 1).")
        if self.notation not in get_args(Notation):
            raise ValueError(f"notation is {self.notation!r}: expected one of {', '.join(get_args(Notation))}.")
        if self.wording not in ("grid", "chat"):
            raise ValueError(f"wording is {self.wording!r}: expected 'grid' or 'chat'.")
        if isinstance(self.maze, Mapping):
            object.__setattr__(self, "maze", MazeConfig(**self.maze))
        if self.reward not in get_args(RewardVariant):
            raise ValueError(f"reward is {self.reward!r}: expected one of {', '.join(get_args(RewardVariant))}.")
        if self.reward == "convex_bonus" and not self.maze.bonus:
            raise ValueError(
                "reward is 'convex_bonus' and the mazes have no bonus tile: expected one to pay for. Set bonus: true "
                "in maze, or reward to 'linear'."
            )

    def answer_format(self, num_answers: int) -> AnswerFormat:
        """How ``num_answers`` routes stand in one completion."""
        return AnswerFormat(num_answers=num_answers, tag=self.tag)

    def examples(self, split: str, seed: int | None = None) -> Iterator[Maze]:
        """Endless stream of the mazes of a split.

        A maze belongs to the test split when its hash is divisible by ten, so no maze can be in both splits, whatever
        the seeds and sizes.

        Raises:
            ValueError: Unknown split.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split is {split!r}: expected 'train' or 'test'.")
        stream = mazes(self.maze, self.seed if seed is None else seed)
        return (maze for maze in stream if (maze.key() % 10 == 0) == (split == "test"))

    def row(self, maze: Maze, num_answers: int) -> dict[str, Any]:
        """Dataset row of a maze: ``prompt`` and the JSON of the maze for the reward function."""
        if self.wording == "chat":
            message = {"role": "user", "content": explain(maze, self.notation, self._hidden(maze), self.reward)}
            return {"prompt": [message], "maze": maze.to_json()}
        return {"prompt": self.prompt(maze, num_answers), "maze": maze.to_json()}

    def prompt(self, maze: Maze, num_answers: int) -> str:
        """Grid, budget and the number of routes wanted: the wording "grid"."""
        grid = "\n".join(" ".join(row) for row in maze.rows(self._hidden(maze)))
        return f"{grid}\nbudget {maze.budget} routes {num_answers}\n"

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """``size`` rows of a split as a `datasets.Dataset` with columns ``prompt`` and ``maze``."""
        from datasets import Dataset

        stream = self.examples(split, seed)
        return Dataset.from_list([self.row(next(stream), num_answers) for _ in range(size)])

    def score(self, answer: str, row: Mapping[str, Any]) -> tuple[float, ...]:
        """Reward vector of one route."""
        return score_route(answer, Maze.from_json(row["maze"]), self.notation, self.reward)

    def label(self, answer: str, row: Mapping[str, Any]) -> str:
        """Kind of a route by the zones it passes; says nothing about success."""
        return route_kind(answer, Maze.from_json(row["maze"]), self.notation, self.maze.zone_radius)

    @property
    def reward_funcs(self) -> list[Callable[..., list[tuple[float, ...]]]]:
        """One TRL-style reward function that returns the four components of each answer."""

        def maze_reward(
            prompts: list[Any], completions: list[Any], maze: list[str], **_: Any
        ) -> list[tuple[float, ...]]:
            known = {text: Maze.from_json(text) for text in set(maze)}
            answers = map(completion_text, completions)  # chat messages where the prompt was one
            rows = zip(answers, maze, strict=True)
            return [score_route(answer, known[m], self.notation, self.reward) for answer, m in rows]

        maze_reward.components = self.components  # type: ignore[attr-defined]
        return [maze_reward]

    def reference(self, row: Mapping[str, Any]) -> None:
        """None: mazes are drawn such that hardly any route takes everything."""

    def attempt(self, row: Mapping[str, Any], rng: random.Random) -> str:
        """A route that arrives, by gold, by diamonds or by neither: what `vpo tasks check` measures on."""
        return write_route(teacher_route(Maze.from_json(row["maze"]), rng), self.notation)

    def teacher_completion(self, maze: Maze, num_answers: int, rng: random.Random) -> str:
        """A warm-start completion: independent random feasible routes in the answer format."""
        routes = [write_route(teacher_route(maze, rng), self.notation) for _ in range(num_answers)]
        return self.answer_format(num_answers).render(routes) if num_answers > 1 else routes[0]

    def front(self, maze: Maze) -> list[tuple[float, float, float, float]]:
        """Reward vectors that no other route dominates."""
        return oracle_front(maze, self.reward)

    def mutation_prefix(self, answer: str, row: dict[str, Any], rng: random.Random, num_answers: int) -> str:
        """Completion cut in the middle of a parent's route, for the policy to continue: how search varies a route."""
        maze = Maze.from_json(row["maze"])
        cells = walk(answer, maze, self.notation).cells
        kept = cells[: rng.randrange(len(cells))] if cells else ()
        opening = f"<{self.tag}_1>" if num_answers > 1 else ""
        return " ".join(part for part in (opening, write_route(kept, self.notation)) if part)

    def vocabulary(self, num_answers: int) -> list[str]:
        """Every word a prompt or completion can hold, for a word-level tokenizer."""
        size = range(self.maze.size)
        steps = list(WORDS) if self.notation == "moves" else list(WORDS.values())
        cells = [cell_name((r, c)) for r in size for c in size] if self.notation == "cells" else steps
        symbols = [s for s in ("SE#GDLB.?" if self.maze.bonus else "SE#GDL.?") if s not in cells]
        longest = self.maze.max_budget or self.maze.size**2 + self.maze.budget_slack
        numbers = [str(n) for n in range(1, max(longest, num_answers) + 1)]
        tags = [f"<{slash}{self.tag}_{i}>" for i in range(1, num_answers + 1) for slash in ("", "/")]
        return [*symbols, *cells, "budget", "routes", *numbers, *tags]

    @property
    def prompt_tokens(self) -> int:
        """Words of a prompt: the grid, and ``budget B routes M``."""
        return self.maze.size**2 + 4

    def completion_tokens(self, num_answers: int) -> int:
        """Most words of a completion whose routes use the whole budget, with tags and the end token."""
        budget = self.maze.max_budget or self.maze.size**2
        return num_answers * (budget + 2) + 1 if num_answers > 1 else budget + 1

    def _hidden(self, maze: Maze) -> Sequence[tuple[int, int]]:
        if not self.hidden_share:
            return ()
        rng = random.Random(f"{self.seed}-{maze.key()}")
        cells = [(r, c) for r in range(maze.size) for c in range(maze.size) if (r, c) not in (maze.start, maze.exit)]
        return rng.sample(cells, round(self.hidden_share * len(cells)))
