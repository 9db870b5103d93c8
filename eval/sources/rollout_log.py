"""Our rollout log: the ``rollouts`` folder of a VPO run, schema in :mod:`eval.rollouts`.

A sample is an answer. A completion in which none could be read is one sample with all of its text, and 0 for every
component, as the trainer pays it. Depth and entropy of an answer are means over its whole completion; columns that
later versions add for entropy (``entropies`` by token, or ``entropy``) and sampling are read where they are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from eval.rollouts import RolloutLogError, dataset_row, files_by_step, read_rollout_table
from eval.samples import Samples
from eval.sources.errors import DamagedFileError, SourceError
from eval.sources.sampling import SAMPLING_COLUMNS, sampling_of
from eval.sources.source import Cursor, Source
from eval.sources.texts import completion_text, encodable, prompt_text


class RolloutLogSource(Source):
    """The ``rollouts`` folder of a VPO run, all processes together."""

    name = "VPO rollout log"

    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        if not self.path.is_dir():
            if not final:
                return
            raise FileNotFoundError(
                f"there is no rollout log at {self.path}: expected the rollouts folder of a run with VPOTrainer and "
                "log_rollouts=True. Check the path."
            )
        by_step = files_by_step(self.path, after_step)
        for i, (step, paths) in enumerate(by_step.items()):
            if i + 1 == len(by_step) and not final:
                return  # other processes may be about to write theirs
            tables = [table for path in paths if (table := self._table(path)) is not None and len(table)]
            if not tables:
                continue
            table = pa.concat_tables(tables, promote_options="default")
            if cursor.components is None:
                cursor.components = self._components(table, by_step, step)
            yield self._samples(step, table, cursor.components or [])

    def _table(self, path: Path) -> pa.Table | None:
        try:
            return read_rollout_table(path)
        except RolloutLogError as error:
            if not self.skip_damaged:
                raise DamagedFileError(str(error)) from error
            self.warn(f"{error} It was left out.")
            return None

    def _components(self, table: pa.Table, by_step: dict[int, list[Path]], step: int) -> list[str] | None:
        """Names of the components; of a step without one answer, those that a later step tells."""
        names = _component_names(table)
        later = (path for other, paths in by_step.items() if other > step for path in paths)
        while names is None and (path := next(later, None)) is not None:
            names = None if (table := self._table(path)) is None else _component_names(table)
        return names

    def _samples(self, step: int, table: pa.Table, components: Sequence[str]) -> Samples:
        num_answers = pc.list_value_length(table["answers"]).to_numpy()
        completions = np.repeat(np.arange(len(table)), np.maximum(num_answers, 1))
        has_answer = num_answers[completions] > 0
        texts = np.empty(len(completions), dtype=object)
        texts[has_answer] = pc.list_flatten(table["answers"]).to_pylist()
        whole, asked = _list(table, "completion"), _list(table, "prompt")
        texts[~has_answer] = [completion_text(whole[c], asked[c]) for c in completions[~has_answer]]
        if not has_answer.all():
            self.warn(
                f"some completions hold no answer that could be read, {(~has_answer).sum()} of {len(table)} at step "
                f"{step}: each counts as one sample with all of its text and reward 0.",
                topic="no answer",
            )
        names = [name for name in SAMPLING_COLUMNS if name in table.schema.names]

        def place(i: int) -> str:
            return f"{self.path}, step {step}, row {i}"

        of_prompt: dict[str, str] = {}
        prompts = [of_prompt.get(text) or of_prompt.setdefault(text, prompt_text(text)) for text in asked]
        rows = _metadata(_list(table, "metadata"), place)
        depths, entropies = _mean_by_row(table, "depths"), _mean_by_row(table, "entropies")
        if entropies is None and "entropy" in table.schema.names:
            entropies = table["entropy"].to_numpy().astype(np.float64)
        return Samples(
            step=step,
            epoch=table["epoch"][-1].as_py(),
            prompt_ids=_picked(_list(table, "prompt_id"), completions),
            texts=encodable(texts.tolist()),
            rewards=self._rewards(table, has_answer, components, step),
            components=tuple(components),
            completions=completions,
            prompts=_picked(prompts, completions),
            finish_reasons=_picked(_list(table, "finish_reason"), completions),
            tokens=table["completion_tokens"].to_numpy().astype(np.int64)[completions],
            depths=None if depths is None else depths[completions],
            entropies=None if entropies is None else entropies[completions],
            rows=_picked(rows, completions),
            sampling=sampling_of({name: _list(table, name) for name in names}, place),
        )

    def _rewards(
        self, table: pa.Table, has_answer: NDArray[np.bool_], components: Sequence[str], step: int
    ) -> NDArray[np.float64]:
        """(N, D), zeros where there is no answer."""
        for named in {tuple(names) for names in _list(table, "components")} - {tuple(components), ()}:
            raise SourceError(
                f"{self.path}: step {step} has the reward components {list(named)}, expected {list(components)} as in "
                "the steps before. Rewards of different kinds are not averaged: give every run a folder of its own."
            )
        vectors = pc.list_flatten(table["rewards"])
        sizes = pc.list_value_length(vectors).to_numpy()
        if len(sizes) and (sizes != len(components)).any():
            raise SourceError(
                f"{self.path}: step {step} has an answer with {sizes[sizes != len(components)][0]} rewards, expected "
                f"{len(components)}, one for each of {list(components)}. The file was edited; delete it."
            )
        rewards = np.zeros((len(has_answer), len(components)))
        values = pc.list_flatten(vectors).to_numpy().astype(np.float64)  # null, which does not apply, to NaN
        rewards[has_answer] = values.reshape(len(sizes), len(components))
        return rewards


def _component_names(table: pa.Table) -> list[str] | None:
    return next((names for names in _list(table, "components") if names), None)


def _metadata(texts: Sequence[str], place: Any) -> list[dict[str, Any]]:
    """Dataset rows; those of a group are the same text, parsed once."""
    parsed: dict[str, dict[str, Any]] = {}
    for i, text in enumerate(texts):
        if text in parsed:
            continue
        try:
            parsed[text] = dataset_row(text)
        except RolloutLogError as error:
            raise SourceError(f"{place(i)}: {error}") from error
    return [parsed[text] for text in texts]


def _mean_by_row(table: pa.Table, name: str) -> NDArray[np.float64] | None:
    """(C,) means of a column of lists, NaN for an empty one; None if all are."""
    if name not in table.schema.names:
        return None
    lengths = np.nan_to_num(pc.list_value_length(table[name]).to_numpy()).astype(np.int64)
    if not lengths.any():
        return None
    values = pc.list_flatten(table[name]).to_numpy().astype(np.float64)
    sums = np.bincount(np.repeat(np.arange(len(lengths)), lengths), weights=values, minlength=len(lengths))
    return np.divide(sums, lengths, out=np.full(len(lengths), np.nan), where=lengths > 0)


def _list(table: pa.Table, name: str) -> list[Any]:
    column: list[Any] = table[name].to_pylist()
    return column


def _picked(values: Sequence[Any], index: NDArray[np.int64]) -> list[Any]:
    return [values[i] for i in index.tolist()]
