"""What a policy answered at one step, as columns, whichever trainer wrote it down: the monitor's only input.

A *sample* is what has a format, a reward vector and a place in pass@k: an answer, where completions hold several and
the log knows them; else a whole completion. A completion without any answer that could be read is one sample with all
of its text, so nothing is left out.

Shape letters: N samples, D components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples:
    """Columns of one step, or of the base model's samples.

    Attributes:
        step: Optimizer steps done when they were drawn; 0 for the base model.
        epoch: Passes over the data; None where the log does not say.
        prompt_ids: N ids, the same for the same prompt at every step and in the base model's samples.
        texts: N texts.
        rewards: (N, D) reward vectors; NaN where a component does not apply or is not known.
        components: D names.
        completions: (N,) which completion of the step a sample stands in; ``arange(N)`` where each is a completion.
        prompts: N texts of prompts, for examples; None where the log does not hold them.
        finish_reasons: N times ``stop``, ``length`` (cut off by the limit), or "" where it is not known for that one;
            None where the log does not say.
        tokens: (N,) generated tokens of the sample's completion; None where the log does not say.
        depths: (N,) mean loops a token of the sample's completion; None for policies that do not loop.
        entropies: (N,) mean entropy of the policy in nats a token; None where the log does not say.
        rows: N dataset rows without the prompt, for labels that need them; None where the log does not hold them.
        sampling: What the log says of how samples were drawn: ``temperature``, ``top_p``, ``template`` and the like.
            Two steps with different values must not be averaged.

    Raises:
        ValueError: Columns differ in length, or rewards do not have one entry for each component.
    """

    step: int
    epoch: float | None
    prompt_ids: Sequence[str]
    texts: Sequence[str]
    rewards: NDArray[np.float64]
    components: tuple[str, ...]
    completions: NDArray[np.int64]
    prompts: Sequence[str] | None = None
    finish_reasons: Sequence[str] | None = None
    tokens: NDArray[np.int64] | None = None
    depths: NDArray[np.float64] | None = None
    entropies: NDArray[np.float64] | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        num = len(self.texts)
        if self.rewards.shape != (num, len(self.components)):
            raise ValueError(
                f"step {self.step}: rewards have shape {self.rewards.shape}, expected ({num}, {len(self.components)}): "
                f"a row a sample, a column for each of {list(self.components)}."
            )
        columns = ("prompt_ids", "completions", "prompts", "finish_reasons", "tokens", "depths", "entropies", "rows")
        for name in columns:
            column = getattr(self, name)
            if column is not None and len(column) != num:
                raise ValueError(f"step {self.step}: column {name} has {len(column)} entries, expected {num}.")

    def __len__(self) -> int:
        return len(self.texts)


def require_samples(reference: Samples) -> None:
    """Refuse a reference that nothing can be fitted on.

    Raises:
        ValueError: It has no samples.
    """
    if len(reference) == 0:
        raise ValueError(
            "the reference has no samples: expected the base model's, or those of the first look. Give steps that "
            "hold at least one completion."
        )


def merge(parts: Sequence[Samples]) -> Samples:
    """The samples of several steps as those of one look, at the last of the steps.

    A prompt that stands at two of the steps is one prompt with the samples of both. A step without components, of whose
    completions no answer could be read, has rewards of 0, as a completion without an answer has beside others.

    Raises:
        ValueError: There are no parts, or their components differ.
    """
    if not parts:
        raise ValueError("there are no samples to merge: expected those of one step at least.")
    if len(parts) == 1:
        return parts[0]
    known = {part.components for part in parts if part.components}
    if len(known) > 1:
        found = {part.step: part.components for part in parts}
        raise ValueError(f"components differ between steps: {found}. They cannot be averaged; look at them apart.")
    components = next(iter(known), ())
    vectors = [part.rewards if part.components else np.zeros((len(part), len(components))) for part in parts]
    starts = np.cumsum([0, *(int(part.completions.max(initial=-1)) + 1 for part in parts)])

    def joined(name: str) -> list[object] | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(column is None for column in columns) else [each for column in columns for each in column]

    def stacked(name: str) -> NDArray[np.float64] | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(column is None for column in columns) else np.concatenate(columns)

    columns = {name: joined(name) for name in ("prompt_ids", "texts", "prompts", "finish_reasons", "rows")}
    columns |= {name: stacked(name) for name in ("tokens", "depths", "entropies")}  # type: ignore[misc]
    completions = np.concatenate([part.completions + start for part, start in zip(parts, starts, strict=False)])
    columns |= {"rewards": np.concatenate(vectors), "components": components}  # type: ignore[dict-item]
    return replace(parts[-1], completions=completions, **columns)  # type: ignore[arg-type]


class Facet(Protocol):
    """A categorical reading of samples: format, opening phrase, length, ... Exactly one label each; never by success.

    Categories are frozen by :meth:`fit` before anything is watched, so that they cannot drift under an alarm.

    Attributes:
        name: Short and unique, such as ``format``.
    """

    name: str

    def fit(self, reference: Samples) -> None:
        """Freeze the categories on the reference: the base model's samples, or the first look. A no-op for rules."""
        ...

    def labels(self, samples: Samples) -> list[str]:
        """N labels, in the order of the samples."""
        ...

    def state(self) -> dict[str, Any]:
        """What :meth:`fit` found, as JSON can hold it; {} for rules."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave; afterwards labels are the same as before."""
        ...
