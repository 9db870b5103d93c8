"""EUREQA: a chain of five masked entities to be resolved, each an exact match or not.

The VPO paper's domain (arXiv 2605.22817; data arXiv 2311.09702). A narrative tells how masked entities relate; only the
last one is named, and the others follow from it backwards. An answer names all five::

    <entity_A>Robert_Rodriguez</entity_A> ... <entity_E>...</entity_E>

Components: ``entity_A`` (what the question asks for) to ``entity_E``, 1 where the name is the data's after
normalisation (underscores are spaces; no case, articles or punctuation). w* is uniform.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from vpo.tasks.protocol import RewardFunc, Row, check_split
from vpo.tasks.reward import reward_function
from vpo.tasks.rows import RowReader, hub_rows, local_rows, to_dataset
from vpo.tasks.texts import normalize

if TYPE_CHECKING:
    from datasets import Dataset

_LETTERS = "ABCDE"
_NORMAL, _HARD = "questions_normal_5", "questions_hard_5"
_TAGS = {
    letter: tuple(re.compile(f"<{slash}entity_{letter}>", re.IGNORECASE | re.ASCII) for slash in ("", "/"))
    for letter in _LETTERS
}
_PROMPT = """\
The text below speaks of entities under masks, such as "Person A", and of how they relate. Its last sentence names one \
entity; the others follow from it, one by one, back to the first.

{narrative}

Find out who or what each of these is: {masks}.

Reason from the named entity backwards. Then write the name of each as Wikipedia titles it, with underscores for \
spaces, and nothing else in its tags:
{form}
The first is the answer to the question."""


@dataclass(frozen=True)
class EureqaTask:
    """Chains of five entities.

    The official files also disagree about the answers to ask for: 3 in the paper's configuration, 5 in the launcher
    that was released. That number is the trainer's (``num_answers``).

    Args:
        path: Folder with files of the columns of ``vincentleebang/EUREQA`` (``questions_normal_5.jsonl``,
            ``questions_hard_5.jsonl``, or .parquet), or one file of training rows; None loads that dataset.
        split_rule: "mixed" trains on all normal chains and half of the hard ones and tests on the other half, as the
            paper does; "normal_to_hard", the released code's default, trains on normal chains and tests on hard ones.
        split_seed: With "mixed", the seed of the halves: `datasets`' own shuffle, 0 being the paper's.

    Raises:
        ValueError: ``split_rule`` has no such value.
    """

    path: str | None = None
    split_rule: Literal["mixed", "normal_to_hard"] = "mixed"
    split_seed: int = 0

    name = "eureqa"
    components = tuple(f"entity_{letter}" for letter in _LETTERS)
    w_star = (0.2,) * 5
    tag = "response"

    def __post_init__(self) -> None:
        if self.split_rule not in ("mixed", "normal_to_hard"):
            raise ValueError(f"split_rule is {self.split_rule!r}: expected 'mixed' or 'normal_to_hard'.")

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """Rows with ``prompt`` (one user message) and ``entities``; see `Task.dataset`."""
        return to_dataset(self._rows(check_split(split)), _convert, size, seed)

    def score(self, answer: str, row: Row) -> tuple[float, ...]:
        """Which of the five names are right."""
        found = [_entity(answer, letter) for letter in _LETTERS]
        return tuple(
            float(bool(name) and _plain(name) == _plain(wanted))
            for name, wanted in zip(found, row["entities"], strict=True)
        )

    @cached_property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all five components."""
        return [reward_function(self.name, self.components, self.score)]

    def reference(self, row: Row) -> str:
        """The names of the data."""
        return _form(row["entities"])

    def _rows(self, split: str) -> Iterator[RowReader]:
        if self.split_rule == "normal_to_hard":
            yield from self._file(_NORMAL if split == "train" else _HARD, alone=split == "train")
            return
        if self.path is not None and self.path.endswith((".jsonl", ".json", ".parquet")):
            yield from self._file(_NORMAL, alone=split == "train")  # one file: training rows as they are
            return
        if split == "train":
            yield from self._file(_NORMAL, alone=True)
        hard = list(self._file(_HARD, alone=False))
        half = len(hard) // 2
        order = _shuffled(len(hard), self.split_seed)
        yield from (hard[i] for i in (order[:half] if split == "train" else order[half:]))

    def _file(self, name: str, alone: bool) -> Iterator[RowReader]:
        if self.path is None:
            return hub_rows("vincentleebang/EUREQA", split=name)
        return local_rows(self.path, (name,), alone)


def _convert(row: RowReader) -> dict[str, Any]:
    masks, entities = row.texts("entity_masks", at_least=6), row.texts("entities", at_least=6)
    narrative = "\n".join(row.texts("question", at_least=1, may_be_empty=True))
    content = _PROMPT.format(narrative=narrative, masks=", ".join(masks[:5]), form=_form(masks[:5]))
    return {"prompt": [{"role": "user", "content": content}], "entities": entities[:5]}


def _form(contents: list[str]) -> str:
    return "\n".join(
        f"<entity_{letter}>{content}</entity_{letter}>" for letter, content in zip(_LETTERS, contents, strict=True)
    )


def _entity(answer: str, letter: str) -> str:
    """What stands in an entity's tags, upper or lower case; nothing without both of them."""
    opening, closing = _TAGS[letter]
    start = opening.search(answer)
    end = closing.search(answer, start.end()) if start else None
    return answer[start.end() : end.start()].strip() if start and end else ""


def _plain(name: str) -> str:
    return normalize(name.replace("_", " "), articles="released")


def _shuffled(count: int, seed: int) -> list[int]:
    """Order in which `datasets` shuffles so many rows, so that the paper's halves are these."""
    import numpy as np

    return np.random.default_rng(seed).permutation(count).tolist()
