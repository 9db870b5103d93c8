"""Corpora with the true format of each text: prompts by samples, with shares as they are asked for.

Shape letters: P prompts, S samples a prompt, N = P * S texts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eval.samples import Samples
from vpo.tasks.format_mixture import FormatMixtureTask

from .formats import LATER, SEVEN
from .words import subject

WRITERS = {**SEVEN, **LATER}


@dataclass(frozen=True)
class Corpus:
    """Texts with what is true of them.

    Attributes:
        texts: N texts.
        formats: N true formats.
        prompt_ids: N prompts.
    """

    texts: list[str]
    formats: list[str]
    prompt_ids: list[str]

    def samples(self, step: int = 0) -> Samples:
        """As the monitor sees them, without rewards."""
        count = len(self.texts)
        return Samples(
            step=step,
            epoch=None,
            prompt_ids=self.prompt_ids,
            texts=self.texts,
            rewards=np.zeros((count, 0)),
            components=(),
            completions=np.arange(count),
        )


def invented_corpus(shares: Mapping[str, float], seed: int, num_prompts: int = 60, num_samples: int = 8) -> Corpus:
    """Texts in an invented vocabulary, a new one for each prompt.

    Args:
        shares: Format -> weight; every sample draws its own.
        seed: Of all of it.
        num_prompts: P.
        num_samples: S.
    """
    rng = random.Random(seed)
    texts, formats, prompts = [], [], []
    for prompt in range(num_prompts):
        about = subject(rng)
        for name in rng.choices(list(shares), list(shares.values()), k=num_samples):
            texts.append(WRITERS[name](about, rng))
            formats.append(name)
            prompts.append(f"{seed}-{prompt}")
    return Corpus(texts, formats, prompts)


def word_problem_corpus(wording: str, seed: int, num_prompts: int = 60, num_samples: int = 8) -> Corpus:
    """Answers of `format_mixture`'s teacher: three formats; on one line each where the wording is "words"."""
    shares = {"python": 0.4, "tagged": 0.3, "prose": 0.3}
    task = FormatMixtureTask(num_steps=3, mixture=shares, wording=wording, seed=seed)  # type: ignore[arg-type]
    rng = random.Random(seed)
    stream = task.examples("train")
    texts, formats, prompts = [], [], []
    for prompt in range(num_prompts):
        problem = next(stream)
        for _ in range(num_samples):
            text = task.teacher_completion(problem, 1, rng)
            texts.append(text)
            formats.append(task.label(text, {}))
            prompts.append(f"{seed}-{prompt}")
    return Corpus(texts, formats, prompts)
