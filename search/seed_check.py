"""Does a sampler honour seeds? Asked directly, and watched in passing.

A server may ignore the seed in two ways. It may draw anew each time: then nothing can be repeated, but search works. Or
it may draw the same each time: then equal prompts get equal completions, and a search of 1000 samples is one of 1.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from search.records import Generation, Prompt, Request
from search.samplers import Sampler
from search.seeds import stable_hash

logger = logging.getLogger(__name__)
_NUM_ALIKE = 8  # equal completions before a warning: even one that has half of all probability comes so once in 128
_SHORT = 3  # tokens; shorter completions may well be equal


@dataclass(frozen=True, kw_only=True)
class SeedReport:
    """What :func:`check_seeds` saw.

    Attributes:
        repeats: The same seed gave the same completion.
        varies: Different seeds gave different completions.
    """

    repeats: bool
    varies: bool


def check_seeds(sampler: Sampler, prompt: Prompt, *, max_new_tokens: int = 32, num_seeds: int = 4) -> SeedReport:
    """Sample one prompt with a few seeds, twice each, and warn of what is amiss. Costs so many completions.

    Take a prompt that the policy can answer in many ways; of a policy that is certain of its words, ``varies`` says
    nothing.

    Args:
        sampler: Any sampler.
        prompt: What the policy sees.
        max_new_tokens: Length of the completions.
        num_seeds: Different seeds.

    Raises:
        ValueError: Fewer than two seeds.
    """
    if num_seeds < 2:
        raise ValueError(f"num_seeds is {num_seeds}, expected at least 2: one seed cannot differ from itself.")
    seeds = [stable_hash("check seeds", i) for i in range(num_seeds)]
    requests = [
        Request(id=i, prompt=prompt, seed=seed, max_new_tokens=max_new_tokens) for i, seed in enumerate(seeds + seeds)
    ]
    texts = [generation.text for generation in sampler.sample(requests)]
    first, second = texts[:num_seeds], texts[num_seeds:]
    report = SeedReport(repeats=first == second, varies=len(set(first)) > 1)
    if not report.varies:
        logger.warning(
            f"{sampler} gave {num_seeds} seeds the same completion {first[0][:60]!r}: it ignores the seed, or the "
            "policy is certain. A search that draws a prompt again would get the same again."
        )
    if not report.repeats:
        logger.warning(
            f"{sampler} gave the same seed different completions: it ignores the seed, or computes a request "
            "differently in other company. A search with it cannot be repeated; its ledger can still be resumed."
        )
    return report


class SeedWatch:
    """Looks at what passes by, until a prompt has got different completions; keeps one prompt in mind."""

    def __init__(self) -> None:
        self._is_done = False
        self._prompt: int | None = None
        self._text = ""
        self._seeds: set[int] = set()

    def see(self, request: Request, generation: Generation) -> str | None:
        """Take notice of a completion.

        Returns:
            A warning, once, when a prompt got the same completion for many seeds; else None.
        """
        if self._is_done or request.temperature < 0.5 or generation.completion_tokens < _SHORT:
            return None
        prompt = stable_hash(request.prompt, request.prefix, request.max_new_tokens)
        if self._prompt is None:
            self._prompt, self._text = prompt, generation.text
        if prompt != self._prompt:
            return None
        self._seeds.add(request.seed)
        self._is_done = generation.text != self._text or len(self._seeds) >= _NUM_ALIKE
        if not self._is_done or generation.text != self._text:
            return None
        return (
            f"{len(self._seeds)} seeds gave one prompt the same completion {self._text[:60]!r}. The server seems to "
            "ignore the seed, or the policy is certain; a search that draws a prompt again gets the same again."
        )
