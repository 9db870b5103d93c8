"""Runs of known formats and accuracies: what the monitor's tests look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.samples import Samples

FORMATS = ("python", "tagged", "prose")
LOOKS_OF = {
    "python": "def solution():\n    return {n}",
    "tagged": "<llm-code>\n{n}\n</llm-code>",
    "prose": "There are {n} of them. The answer is {n}.",
    "empty": "",
}


class BySign:
    """A facet without rules of its own: the format that `mixture` wrote."""

    name = "format"

    def fit(self, reference: Samples) -> None:
        pass

    def labels(self, samples: Samples) -> list[str]:
        return [_format_of(text) for text in samples.texts]

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def _format_of(text: str) -> str:
    if not text:
        return "empty"
    return "python" if text.startswith("def") else "tagged" if text.startswith("<llm") else "prose"


def mixture(
    step: int,
    shares: Sequence[float],
    accuracies: Sequence[float],
    rng: np.random.Generator,
    prompts: int = 64,
    group: int = 8,
    spread: float = 4.0,
    names: Sequence[str] | None = None,
    formats: Sequence[str] = FORMATS,
    **columns: Any,
) -> Samples:
    """Samples of a policy that has these formats and is right so often in each.

    ``spread`` is the Dirichlet's concentration of formats between prompts: small = each prompt has its own.
    """
    names = names or [f"step{step}-{i}" for i in range(prompts)]
    chances = rng.dirichlet(np.maximum(np.array(shares) * spread, 1e-6), len(names))
    texts, rewards, ids = [], [], []
    for name, chance in zip(names, chances, strict=True):
        for kind in rng.choice(len(shares), size=group, p=chance / chance.sum()):
            texts.append(LOOKS_OF[formats[kind]].format(n=int(rng.integers(1000))))
            rewards.append([float(rng.random() < accuracies[kind])])
            ids.append(name)
    num = len(texts)
    return Samples(
        step=step,
        epoch=step / 100,
        prompt_ids=ids,
        texts=texts,
        rewards=np.array(rewards),
        components=("correct",),
        completions=np.arange(num),
        **columns,
    )
