"""A task that has many right answers, each of which needs its loops: name a start, and the end of its walk.

A prompt is a table of arrows. Word i is the node that the i-th place points to: first the six starts, then the sixteen
nodes, which form four chains of four; the last node of a chain points to itself and is the end of every walk that comes
into the chain. An answer is two words, a start of one's choice and the end of its walk. There is no room to write the
walk down: the policy follows it inside the token of the start, at one look into the table for each layer that attends.

The starts are of three kinds, two of each. A component of the reward is 1 for a right answer of its kind and 0 for any
other, so what one taste pays for is of no use to another. Prompts are of two sorts, half of them each:

* alike: every start is the same number of arrows from its end, 1 to 4. Which kind is chosen says nothing about depth.
* mixed: the starts of the first kind are 1 arrow from their ends, of the second 2 and 3, of the third 4. To choose a
  kind is to choose a depth.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vpo.answers import AnswerFormat
from vpo.tasks.reward import reward_function

KINDS = 3
STARTS = tuple(f"s{i}" for i in range(1, 7))  # two of each kind, in order
NODES = tuple("abcdefghijklmnop")
CHAINS = 4
LONGEST = len(NODES) // CHAINS  # arrows of the longest walk, the node's own to itself not counted
MIXED = (1, 1, 2, 3, 4, 4)  # arrows from each start of a mixed prompt
STRATA = (*(f"alike {hops}" for hops in range(1, LONGEST + 1)), "mixed")


@dataclass(frozen=True)
class Arrows:
    """A table.

    Attributes:
        table: For each start, then for each node, the number of the node that it points to.
    """

    table: tuple[int, ...]

    def key(self) -> int:
        """Hash that decides the split."""
        return zlib.crc32(bytes(self.table))

    def walk(self, start: int) -> tuple[int, ...]:
        """The nodes on the way from a start, the end last."""
        path = [self.table[start]]
        while (following := self.table[len(STARTS) + path[-1]]) != path[-1]:
            path.append(following)
        return tuple(path)

    @property
    def stratum(self) -> str:
        """What its difficulty goes by, one of STRATA."""
        hops = {len(self.walk(start)) for start in range(len(STARTS))}
        return f"alike {min(hops)}" if len(hops) == 1 else "mixed"


def random_arrows(rng: random.Random) -> Arrows:
    """A table of either sort, with chance 1/2."""
    nodes = list(range(len(NODES)))
    rng.shuffle(nodes)
    chains = [nodes[i : i + LONGEST] for i in range(0, len(nodes), LONGEST)]  # from the end backwards
    points_to = [0] * len(NODES)
    for chain in chains:
        for here, there in zip(chain, [chain[0], *chain], strict=False):
            points_to[here] = there
    hops = MIXED if rng.random() < 0.5 else (rng.randint(1, LONGEST),) * len(STARTS)
    return Arrows((*(rng.choice(chains)[arrows - 1] for arrows in hops), *points_to))


@dataclass(frozen=True)
class ArrowsTask:
    """The task, as `vpo.tasks.tiny_task.TinyTask` describes it.

    Attributes:
        seed: Of the stream of tables.
    """

    seed: int = 0

    name = "arrows"
    components = ("first kind", "second kind", "third kind")
    w_star = (1 / 3, 1 / 3, 1 / 3)
    tag = "walk"
    prompt_tokens = len(STARTS) + len(NODES) + 2

    def answer_format(self, num_answers: int) -> AnswerFormat:
        """How ``num_answers`` walks stand in one completion."""
        return AnswerFormat(num_answers=num_answers, tag=self.tag)

    def examples(self, split: str, seed: int | None = None) -> Iterator[Arrows]:
        """Endless stream of a split; a table is of the test split when its hash is divisible by ten.

        Raises:
            ValueError: Unknown split.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split is {split!r}: expected 'train' or 'test'.")
        rng = random.Random(f"arrows-{self.seed if seed is None else seed}")
        while True:
            arrows = random_arrows(rng)
            if (arrows.key() % 10 == 0) == (split == "test"):
                yield arrows

    def prompt(self, arrows: Arrows, num_answers: int) -> str:
        """The table, and the number of answers wanted."""
        return f"{' '.join(NODES[node] for node in arrows.table)} walks {num_answers}\n"

    def row(self, arrows: Arrows, num_answers: int) -> dict[str, str]:
        """Dataset row: ``prompt``, and the JSON of the table for the reward."""
        return {"prompt": self.prompt(arrows, num_answers), "table": json.dumps(arrows.table)}

    def answer(self, arrows: Arrows, start: int) -> str:
        """The right answer that names a start, by its number."""
        return f"{STARTS[start]} {NODES[arrows.walk(start)[-1]]}"

    def score(self, answer: str, row: Mapping[str, Any]) -> tuple[float, ...]:
        """1 in the component of a right answer's kind, and 0 elsewhere; all zeros for whatever is not right."""
        words = answer.split()
        if not words or words[0] not in STARTS:
            return (0.0,) * KINDS
        start = STARTS.index(words[0])
        is_right = words == self.answer(Arrows(tuple(json.loads(row["table"]))), start).split()
        return tuple(float(is_right and start * KINDS // len(STARTS) == kind) for kind in range(KINDS))

    def label(self, answer: str, row: Mapping[str, Any]) -> str:
        """The first word: which start was chosen, whether or not its end is right."""
        return (answer.split() or ["none"])[0]

    @property
    def reward_funcs(self) -> list[Callable[..., Any]]:
        """One function that returns all components."""
        return [reward_function(self.name, self.components, self.score)]

    def teacher_completion(self, arrows: Arrows, num_answers: int, rng: random.Random) -> str:
        """Right answers from independent random starts, in the answer format."""
        answers = [self.answer(arrows, rng.randrange(len(STARTS))) for _ in range(num_answers)]
        return self.answer_format(num_answers).render(answers)

    def vocabulary(self, num_answers: int) -> list[str]:
        """Every word that a prompt or completion can hold."""
        tags = [f"<{slash}{self.tag}_{i}>" for i in range(1, num_answers + 1) for slash in ("", "/")]
        return [*NODES, *STARTS, "walks", *(str(i) for i in range(1, num_answers + 1)), *tags]

    def completion_tokens(self, num_answers: int) -> int:
        """Words of a completion, with tags and the end token."""
        return 4 * num_answers + 1 if num_answers > 1 else 3

    def front(self, arrows: Arrows) -> Sequence[tuple[float, ...]]:
        """One right answer of each kind: what an oracle gives."""
        return [tuple(float(i == kind) for i in range(KINDS)) for kind in range(KINDS)]
