"""TRL's completions: ``<output_dir>/completions/completions_{step:05d}.parquet``, with ``log_completions=True``.

Columns: step, prompt, completion (text or chat messages), one for each reward function, those of ``log_extra``, and
advantage. What the writer does (trl 1.16, ``GRPOTrainer.log``), and what is made of it:

- It keeps the last generation batch only, and writes at every ``logging_steps``: batches in between are not in the log,
  which is a warning. Use ``logging_steps=1``.
- A batch that trains several steps (``num_iterations``, ``steps_per_generation``) is written at each of them. It is
  read once, at the first.
- Evaluation writes into the same files, over the training batch of that step; nothing in the file tells them apart.
  Evaluate in a run of its own while completions are monitored.
- Files are written in place: the newest may be half there, and is waited for while it changes.
- Reward functions and numbers from ``log_extra`` look the same. All columns of floats count as components, unless
  ``components`` names them.
- A step is the trainer's count when it logs, so what it calls step 1 was drawn from the base model. Its number is kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa

from eval.samples import Samples
from eval.sources.columns import Names, samples_from_columns
from eval.sources.errors import DamagedFileError, SourceError
from eval.sources.generic import chosen_components
from eval.sources.parquet import read_table, table_columns
from eval.sources.source import Cursor, Source

_FILE = re.compile(r"completions_(\d{5,})\.parquet")
_TRIES = 5  # polls in which an unreadable newest file may stay as it is before it counts as damaged
_NOT_REWARDS = {"step", "prompt", "completion", "advantage"}


class TRLCompletions(Source):
    """The ``completions`` folder of a run with one of TRL's online trainers, or one of its files."""

    name = "TRL completions"
    _tried: tuple[str, int, int] | None = None
    _tries = 0

    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        if not final and not self.path.exists():
            return
        files = completion_files(self.path)
        first = next((i for i, (step, _) in enumerate(files) if step > after_step), len(files))
        if first == len(files):
            return
        previous: Samples | None = None
        previous_step = -1  # also of files that only repeat the batch before
        for i, (step, path) in list(enumerate(files))[max(0, first - 1) :]:
            is_context = step <= after_step  # read only to see whether the next file repeats it
            try:
                samples = self._read(step, path)
            except FileNotFoundError:
                continue
            except DamagedFileError as error:
                if is_context:
                    continue
                if i + 1 == len(files) and not final and self._may_change(path):
                    return
                if not self.skip_damaged:
                    raise
                self.warn(f"{error} It was left out.")
                continue
            if samples is None:
                self.warn(f"{path} holds no samples: left out.")
                continue
            is_repeat = previous is not None and _same_batch(previous, samples)
            if not is_context:
                self._note(previous_step, step, is_repeat)
            previous, previous_step = samples, step
            if not is_context and not is_repeat:
                yield samples

    def _note(self, previous_step: int, step: int, is_repeat: bool) -> None:
        if is_repeat:
            self.warn(
                f"step {step} repeats the batch of step {previous_step} and is left out; so is every later repetition. "
                "TRL writes a batch at each step that trains on it; its samples count once.",
                topic="repeated batch",
            )
        elif 0 <= previous_step < step - 1:
            self.warn(
                f"completions were logged at step {previous_step} and then at step {step}: generation batches in "
                "between, if any, are not in the log, for TRL keeps the last only. Train with logging_steps=1.",
                topic="gap",
            )

    def _read(self, step: int, path: Path) -> Samples | None:
        table = read_table(path)
        if missing := _NOT_REWARDS - set(table.schema.names):
            raise SourceError(
                f"{path} has no column {', '.join(map(repr, sorted(missing)))}: expected TRL's columns, got "
                f"{', '.join(table.schema.names)}. Point at the completions folder of a run with log_completions=True."
            )
        if len(table) == 0:
            return None
        columns = table_columns(table)

        def place(i: int) -> str:
            return f"{path}, row {i}"

        if set(columns["step"]) != {step}:
            raise SourceError(
                f"{path} holds step {columns['step'][0]}, expected {step} as in its name. Give the file back the name "
                "that it was written under."
            )
        names = [
            field.name for field in table.schema if pa.types.is_floating(field.type) and field.name not in _NOT_REWARDS
        ]
        kinds = Names(left_out=frozenset(names))
        if self.components is not None:
            names = chosen_components(self.components, columns, place)
        return samples_from_columns(step, columns, kinds, names, place)

    def _may_change(self, path: Path) -> bool:
        """Whether an unreadable file has changed of late, or has not been tried often."""
        found = path.stat()
        state = (str(path), found.st_size, found.st_mtime_ns)
        tries = self._tries if self._tried == state else 0
        self._tried, self._tries = state, tries + 1
        return self._tries <= _TRIES


def completion_files(path: Path) -> list[tuple[int, Path]]:
    """(step, file) by step.

    Raises:
        FileNotFoundError: There is nothing at ``path``.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is nothing at {path}: expected the completions folder of a run with log_completions=True. Check "
            "the path, and that a step was logged."
        )
    files = [path] if path.is_file() else path.iterdir()
    return sorted((int(match[1]), each) for each in files if (match := _FILE.fullmatch(each.name)))


def is_trl(keys: Collection[str]) -> bool:
    """Whether a table with these columns is TRL's."""
    return set(keys) >= _NOT_REWARDS


def _same_batch(one: Samples, other: Samples) -> bool:
    return (
        list(one.texts) == list(other.texts)
        and list(one.prompt_ids) == list(other.prompt_ids)
        and one.rewards.tobytes() == other.rewards.tobytes()
    )
