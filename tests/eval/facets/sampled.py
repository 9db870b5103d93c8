"""Samples for the tests of facets, from texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.samples import Samples


def samples_of(texts: Sequence[str], prompt_ids: Sequence[str] | None = None, **columns: Any) -> Samples:
    """One sample a text, each of a prompt of its own unless told otherwise; more columns by name."""
    count = len(texts)
    rewards = columns.pop("rewards", np.zeros((count, 1)))
    return Samples(
        step=0,
        epoch=None,
        prompt_ids=[str(i) for i in range(count)] if prompt_ids is None else prompt_ids,
        texts=list(texts),
        rewards=rewards,
        components=tuple(f"r{i}" for i in range(rewards.shape[1])),
        completions=np.arange(count),
        **columns,
    )
