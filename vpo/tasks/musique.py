"""MuSiQue: questions over several paragraphs, rewarded for each paragraph cited and for the answer's words.

The VPO paper's domain (arXiv 2605.22817; data arXiv 2108.00573): an answer cites paragraphs and answers the question::

    <support>3, 7</support>
    <answer>Lyon</answer>

Components: ``hop_1`` to ``hop_4``, whether the paragraph of that step of the reasoning is cited (1 for steps that the
question does not have), and ``answer_f1``, F1 of words against the best of the answer and its aliases. Only the first
four different paragraphs cited count, so that citing all of them does not pay. Without an ``<answer>`` all are 0.
w* = (1, 1, 1, 1, 3) / 7.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from vpo.tasks.protocol import RewardFunc, Row, check_split
from vpo.tasks.reward import reward_function
from vpo.tasks.rows import RowReader, hub_rows, local_rows, to_dataset
from vpo.tasks.texts import Normalization, between, word_f1

if TYPE_CHECKING:
    from datasets import Dataset

MAX_HOPS = 4
_INDEX = re.compile(r"[0-9]{1,9}", re.ASCII)
_PROMPT = """\
Answer the question from the paragraphs. It takes several steps of reasoning, each from one paragraph.

{paragraphs}

Question: {question}

First reason about which paragraphs matter. Then give the numbers of the paragraphs that your answer rests on (at most \
{hops}), and the answer in as few words as possible, in this form:
<support>numbers, separated by commas</support>
<answer>the answer</answer>"""


@dataclass(frozen=True)
class MusiqueTask:
    """MuSiQue-Ans with hop citations.

    Args:
        path: Folder (or file of training rows) with the columns of ``dgslibisey/MuSiQue``; None loads that dataset.
        normalization: Of answers before their words are compared: "squad", as SQuAD's script does it, or "released",
            as the VPO authors' code does it; they differ in articles beside punctuation (`vpo.tasks.texts.normalize`).
        test_rows: The paper tests on questions balanced over 2, 3 and 4 hops ("balanced"); the evaluation script that
            was released takes the first ones of the file, most of which have 2 ("first").

    Raises:
        ValueError: An option has no such value.
    """

    path: str | None = None
    normalization: Normalization = "squad"
    test_rows: Literal["balanced", "first"] = "balanced"

    name = "musique"
    components = ("hop_1", "hop_2", "hop_3", "hop_4", "answer_f1")
    w_star = (1 / 7, 1 / 7, 1 / 7, 1 / 7, 3 / 7)
    tag = "response"

    def __post_init__(self) -> None:
        if self.normalization not in ("squad", "released"):
            raise ValueError(f"normalization is {self.normalization!r}: expected 'squad' or 'released'.")
        if self.test_rows not in ("balanced", "first"):
            raise ValueError(f"test_rows is {self.test_rows!r}: expected 'balanced' or 'first'.")

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """Rows with ``prompt`` (one user message), ``answer``, ``answer_aliases`` and ``support``; see `Task.dataset`.

        The test split is the data's validation split, its own having no answers.
        """
        is_test = check_split(split) == "test"
        if self.path is None:
            rows = hub_rows("dgslibisey/MuSiQue", split="validation" if is_test else "train")
        else:
            rows = local_rows(self.path, ("validation", "dev", "test") if is_test else ("train",), alone=not is_test)
        if is_test and self.test_rows == "balanced":
            return to_dataset(_balanced(rows, 42 if seed is None else seed), self._convert, size, seed=None)
        return to_dataset(rows, self._convert, size, seed)

    def score(self, answer: str, row: Row) -> tuple[float, ...]:
        """Hops cited and F1 of one answer."""
        found = between(answer, "<answer>", "</answer>")
        if not found:
            return (0.0,) * (MAX_HOPS + 1)
        cited = _citations(between(answer, "<support>", "</support>") or "")
        support = row["support"]
        hops = [float(support[hop] in cited) if hop < len(support) else 1.0 for hop in range(MAX_HOPS)]
        accepted = [row["answer"], *(row["answer_aliases"] or ())]
        return (*hops, max(word_f1(found, each, self.normalization) for each in accepted))

    @cached_property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all five components."""
        return [reward_function(self.name, self.components, self.score)]

    def reference(self, row: Row) -> str:
        """The paragraphs and the answer of the data."""
        support = ", ".join(map(str, row["support"]))
        return f"<support>{support}</support>\n<answer>{row['answer']}</answer>"

    def _convert(self, row: RowReader) -> dict[str, Any]:
        paragraphs = [
            (each.integer("idx"), each.text("title", may_be_empty=True), each.text("paragraph_text"))
            for each in row.records("paragraphs")
        ]
        indices = {index for index, _, _ in paragraphs}
        steps = row.records("question_decomposition")
        support = [step.integer("paragraph_support_idx") for step in steps]
        if len(support) > MAX_HOPS:
            raise row.bad("question_decomposition", f"has {len(support)} steps", f"at most {MAX_HOPS}")
        for step, index in zip(steps, support, strict=True):
            if index not in indices:
                raise step.bad("paragraph_support_idx", f"is {index}", "the idx of one of the paragraphs")
        aliases = row.texts("answer_aliases", may_be_empty=True) if "answer_aliases" in row.values else []
        text = "\n\n".join(f"[{index}] {title}\n{body}" for index, title, body in paragraphs)
        content = _PROMPT.format(paragraphs=text, question=row.text("question"), hops=MAX_HOPS)
        return {
            "prompt": [{"role": "user", "content": content}],
            "answer": row.text("answer"),
            "answer_aliases": [alias for alias in aliases if alias.strip()],
            "support": support,
        }


def _citations(text: str) -> set[int]:
    """The first four different paragraphs of a list; entries that are no number are passed over."""
    cited: dict[int, None] = {}
    for entry in text.split(","):
        if _INDEX.fullmatch(entry.strip()):
            cited[int(entry)] = None
            if len(cited) == MAX_HOPS:
                break
    return set(cited)


def _balanced(rows: Iterator[RowReader], seed: int) -> Iterator[RowReader]:
    """Rows in turn from those of 2, 3 and 4 hops, each in random order; until one kind runs out, then the others."""
    kinds: dict[int, list[RowReader]] = {}
    for row in rows:
        kinds.setdefault(len(row.records("question_decomposition")), []).append(row)
    rng = random.Random(seed)
    piles: Sequence[list[RowReader]] = [kinds[hops] for hops in sorted(kinds)]
    for pile in piles:
        rng.shuffle(pile)
    for turn in range(max(map(len, piles), default=0)):
        for pile in piles:
            if turn < len(pile):
                yield pile[turn]
