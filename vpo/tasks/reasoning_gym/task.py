"""Any generator of reasoning-gym (Stojanovski et al., arXiv 2505.24760) as a task with a vector reward.

An answer is read from ``<answer>`` tags, the last pair of them, as reasoning-gym reads it. Components:

- ``score``: reasoning-gym's own ``score_answer``, partial credit included.
- ``part_1`` to ``part_3``: the answer's first, second and last third against that of the reference, F1 of adjacent
  words; all 1 for whatever scores 1. Most scorers give a grid with one wrong cell what they give an empty one, where
  search has nothing to climb and answers that are right in different places look alike. They do not apply (None) where
  the reference has fewer words than parts, being the score once more, or where there is no reference.
- ``form``: exactly one pair of tags, something in it and nothing after. The score forgives what this does not, and a
  well-formed answer may be wrong.
- ``brief``: the score times the share of ``working_chars`` that the answer leaves unused outside of its tags. It counts
  for right answers alone: otherwise a policy is paid for saying nothing.

Left out on purpose: whether a text equals the reference (where one answer is right it is the score, where several are
it punishes the others), whether the score is full (a function of the score), and length as a reward of its own.
w* is .7 for the score, .2 for the parts, .05 each for form and brevity: a right answer has .9 at least, one that earns
nothing by its score .25 at most. Where an answer is a single word, nearly all that is left is one scalar: `vpo tasks
check` says so, and a set of answers is then worth no more than one.

The faults of reasoning-gym's scorers stay its own, but for two of version 0.1.25 that give one text full marks whatever
was asked: a policy would learn that text, so `coin_flip` and `game_of_life_halting` are refused.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vpo.tasks.protocol import RewardFunc, Row, Vector, check_split
from vpo.tasks.reasoning_gym.entries import entries, pack, unpack
from vpo.tasks.reasoning_gym.generators import make_generator, own_randomness
from vpo.tasks.reasoning_gym.referee import Referee
from vpo.tasks.reasoning_gym.screening import SLOW, check_screened, may_be_scored
from vpo.tasks.reward import reward_function
from vpo.tasks.texts import multiset_f1

if TYPE_CHECKING:
    from datasets import Dataset

# Scorers that one text satisfies whatever the question, and what it is; sought among twenty texts over all generators.
_BLIND = {
    "coin_flip": "'0', the beginning of every chance below 1,",
    "game_of_life_halting": "any text, which bool() takes for True,",
}
_MOST_PARTS = 16
_SHORTEST_LIMIT = 1000  # characters that a scorer will always read; more if the reference is long
_TAG = re.compile(r"<(/?)answer>")
_WORD = re.compile(r"\d+(?:\.\d+)?|\w+|[^\w\s]")
_PROMPT = """\
{question}

Show your working briefly. Then give the final answer, and nothing else, in tags:
<answer>final answer</answer>"""


@dataclass(frozen=True)
class ReasoningGymTask:
    """A generator of reasoning-gym: reasoning_gym:NAME, such as reasoning_gym:countdown.

    Args:
        generator: Its name. ``get_task("reasoning_gym:countdown")`` gives it, and so does a recipe's
            ``task: reasoning_gym:countdown``.
        config: The generator's own options, such as ``{"min_numbers": 3}``; not its seed and size.
        seed: Of the questions.
        parts: Parts of an answer that are compared with the reference; 0 for none, as where many answers are right.
        working_chars: Characters outside of the answer's tags at which ``brief`` is 0.

    Raises:
        ValueError: reasoning-gym is not installed, has no such generator or option, or refuses a value; the generator
            cannot be used.
    """

    generator: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    parts: int = 3
    working_chars: int = 2000

    tag = "response"

    def __post_init__(self) -> None:
        if isinstance(self.parts, bool) or not isinstance(self.parts, int) or not 0 <= self.parts <= _MOST_PARTS:
            raise ValueError(f"parts is {self.parts!r}: expected a whole number from 0 to {_MOST_PARTS}.")
        if isinstance(self.working_chars, bool) or not isinstance(self.working_chars, int) or self.working_chars < 1:
            raise ValueError(f"working_chars is {self.working_chars!r}: expected a whole number of 1 or more.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ValueError(f"seed is {self.seed!r}: expected a whole number.")
        if self.generator is not None:
            _ = self._judge  # refuses what is wrong before anything is trained
        elif self.config:
            raise ValueError("config without a generator: expected reasoning_gym:NAME, as reasoning_gym:countdown.")

    @property
    def components(self) -> tuple[str, ...]:
        """``score``, the parts, ``form`` and ``brief``."""
        return "score", *(f"part_{i}" for i in range(1, self.parts + 1)), "form", "brief"

    @property
    def w_star(self) -> tuple[float, ...]:
        """.7 for the score and .2 for the parts, or .9 for the score alone; .05 for each of the other two."""
        parts = (0.2 / self.parts,) * self.parts if self.parts else ()
        return 0.7 if self.parts else 0.9, *parts, 0.05, 0.05

    @property
    def name(self) -> str:
        """``reasoning_gym:countdown`` for that generator."""
        return "reasoning_gym" if self.generator is None else f"reasoning_gym:{self.generator}"

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """Rows with ``prompt`` (one user message), ``answer`` (the reference or None) and ``entry``, all of it as JSON.

        No question stands twice in a split or in both splits, whatever the seeds; see `Task.dataset`.
        """
        from datasets import Dataset, Features, Value

        if size < 1:
            raise ValueError(f"size is {size}: expected 1 or more rows.")
        check_split(split)
        found = entries(self._known(), self.config, split, size, self.seed if seed is None else seed)
        rows = [
            {
                "prompt": [{"role": "user", "content": _PROMPT.format(question=entry["question"].strip())}],
                "answer": entry["answer"],
                "entry": pack(entry),
            }
            for entry in found
        ]
        message = [{"role": Value("string"), "content": Value("string")}]
        kinds = Features({"prompt": message, "answer": Value("string"), "entry": Value("string")})
        return Dataset.from_list(rows, features=kinds)  # where no row has a reference, the column's kind is not seen

    def score(self, answer: str, row: Row) -> Vector:
        """Score, parts, form and brevity of one answer; see the module's docstring."""
        reference, found = row["answer"], _last_answer(answer)
        text, outside = found or ("", 0)
        score = self._own_score(text if found else None, row)
        words = _WORD.findall(reference or "")
        parts: Vector = (None,) * self.parts
        if self.parts and len(words) >= max(self.parts, 2):
            ours = _WORD.findall(text[: _limit(reference)])
            parts = (1.0,) * self.parts if score == 1.0 else tuple(_part_f1s(ours, words, self.parts))
        brief = score * max(0.0, 1.0 - outside / self.working_chars) if found else 0.0
        return score, *parts, float(bool(text) and _is_well_formed(answer)), brief

    @cached_property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all components."""
        return [reward_function(self.name.replace(":", "_"), self.components, self.score)]

    def reference(self, row: Row) -> str | None:
        """The generator's own answer in its tags; None for the few that have none, as rush_hour."""
        return None if row["answer"] is None else f"<answer>{row['answer']}</answer>"

    def attempt(self, row: Row, rng: random.Random) -> str:
        """An answer as a policy would write it: some working, and the reference with words lost and exchanged."""
        parts = re.findall(r"\s+|\w+|[^\w\s]", row["answer"] or "no answer")
        for place in rng.sample(range(len(parts)), rng.randint(0, (len(parts) + 1) // 2)):
            parts[place] = rng.choice([*parts, ""])
        working = "so then " * rng.randint(0, self.working_chars // 8)
        return f"{working}<answer>{''.join(parts)}</answer>" + rng.choice(("", "", " I think."))

    def label(self, answer: str, row: Row) -> str:
        """How an answer stands there; says nothing about success."""
        found = _last_answer(answer)
        if found is None:
            return "no answer"
        return ("bare answer" if found[1] == 0 else "working shown") if _is_well_formed(answer) else "out of form"

    def _known(self) -> str:
        if self.generator is None:
            raise ValueError("no generator is named: expected reasoning_gym:NAME, such as reasoning_gym:countdown.")
        return self.generator

    @cached_property
    def _judge(self) -> Any:
        """The generator whose scorer is asked; its own seed and size play no part."""
        name = self._known()
        if name in _BLIND:
            raise ValueError(
                f"reasoning-gym's scorer of {name} gives {_BLIND[name]} full marks, so that nothing can be learned "
                "from it: expected a generator whose scorer reads the answer. Use another one."
            )
        judge = make_generator(name, self.config, seed=0, size=1)
        for part, generator in (judge.datasets if name == "composite" else {name: judge}).items():
            if part in _BLIND:
                raise ValueError(
                    f"a dataset of composite is {part}, whose scorer gives one text full marks: expected another. "
                    "Leave it out."
                )
            check_screened(part, generator)
        return judge

    @cached_property
    def _referee(self) -> Referee:
        return Referee(self._known(), self.config)

    def __getstate__(self) -> dict[str, Any]:
        """Options alone: what was made from them is made again where the task arrives."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _own_score(self, text: str | None, row: Row) -> float:
        """What reasoning-gym says of an answer, in [0, 1]; 0 where its scorer fails."""
        reference, entry = row["answer"], _entry(row["entry"])
        source = entry["metadata"].get("source_dataset", self.generator) if self.generator == "composite" else None
        if text is not None and text != reference:
            is_short = len(text) <= _limit(reference)
            text = text if is_short and may_be_scored(source or self._known(), text) else None
        if (source or self._known()) in SLOW:
            return self._referee.score(text, row["entry"])
        try:
            with own_randomness("score"):
                value = float(self._judge.score_answer(text, entry))
        except Exception:  # a scorer that trips over what a policy wrote: prime_factorization reads words as numbers
            return 0.0
        return min(max(value, 0.0), 1.0) if value == value else 0.0


@lru_cache(maxsize=1024)
def _entry(text: str) -> dict[str, Any]:
    entry: dict[str, Any] = unpack(text)
    return entry


def _limit(reference: str | None) -> int:
    return max(_SHORTEST_LIMIT, 4 * len(reference or ""))


def _last_answer(response: str) -> tuple[str, int] | None:
    """Text of the last pair of tags, stripped, and the characters outside of it; None without one."""
    end = response.rfind("</answer>")
    start = response.rfind("<answer>", 0, max(end, 0))
    if start < 0:
        return None
    outside = len(response[:start].strip()) + len(response[end + len("</answer>") :].strip())
    return response[start + len("<answer>") : end].strip(), outside


def _is_well_formed(response: str) -> bool:
    """Whether there is one opening tag and then one closing tag, at the end."""
    tags = [match.group(1) for match in _TAG.finditer(response)]
    return tags == ["", "/"] and response.rstrip().endswith("</answer>")


def _part_f1s(ours: Sequence[str], theirs: Sequence[str], num_parts: int) -> Iterator[float]:
    """F1 of adjacent words, part by part; the part's ends count as words, so that order matters and single words do."""
    for part in range(num_parts):
        given, wanted = (_pairs(words, part, num_parts) for words in (ours, theirs))
        yield multiset_f1(given, wanted)


def _pairs(words: Sequence[str], part: int, num_parts: int) -> list[tuple[str, str]]:
    chosen = words[len(words) * part // num_parts : len(words) * (part + 1) // num_parts]
    return list(pairwise(["", *chosen, ""])) if chosen else []
