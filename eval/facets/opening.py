"""How a text opens: its first eight tokens without content; the frequent ones on the reference are the categories.

RL standardises turns of phrase and docstrings within one format (Echo Chamber, arXiv 2504.07912, figure 6), which no
label of the format shows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from eval.facets.masking import masked
from eval.facets.remembered import Remembered
from eval.samples import Samples

EMPTY, OTHER = "empty", "other opening"
TOKENS = 8
_LOOKED_AT = 400  # characters that hold eight tokens; beyond them texts need not be masked
_TOKEN = re.compile(r"[\w'’]+|\n+|[^\w\s]")


def opening(text: str) -> str:
    """First tokens of the masked text; ``⏎`` is a line's end.

    >>> opening("Let's see: Tom has 3 apples.")
    "Let's see : W has 0 w ."
    """
    tokens = _TOKEN.findall(masked(text.lstrip()[:_LOOKED_AT]))[:TOKENS]
    return " ".join("⏎" if token[0] == "\n" else token for token in tokens) or EMPTY


class OpeningFacet:
    """The opening phrase, among those that were frequent on the reference.

    Args:
        most: Categories at most, beside ``other opening`` and ``empty``.
        least_prompts: Prompts of the reference that an opening must answer; one that a single prompt brings about is no
            habit of the policy.

    Attributes:
        categories: Openings that have a label of their own, most frequent first; None before :meth:`fit`.
    """

    name = "opening"
    description = f"First {TOKENS} tokens without content; the frequent ones at the reference"

    def __init__(self, most: int = 12, least_prompts: int = 2) -> None:
        self.most = most
        self.least_prompts = least_prompts
        self.categories: tuple[str, ...] | None = None
        self._openings = Remembered(_openings)

    def fit(self, reference: Samples) -> None:
        """Freeze the most frequent openings."""
        found = self._openings(reference.texts)
        prompts: dict[str, set[str]] = {}
        for each, prompt in zip(found, reference.prompt_ids, strict=True):
            prompts.setdefault(each, set()).add(prompt)
        least = min(self.least_prompts, len(set(reference.prompt_ids)))
        counted = Counter(each for each in found if each != EMPTY and len(prompts[each]) >= least)
        self.categories = tuple(sorted(counted, key=lambda each: (-counted[each], each))[: self.most])

    def labels(self, samples: Samples) -> list[str]:
        """N openings; ``other opening`` for those that were rare on the reference, ``empty`` for texts without any.

        Raises:
            RuntimeError: Nothing was fitted yet.
        """
        if self.categories is None:
            raise RuntimeError(
                "the facet 'opening' was not fitted: expected categories from a reference. Call fit(base samples), or "
                "restore(state) of a facet that was."
            )
        known = {EMPTY, *self.categories}
        return [each if each in known else OTHER for each in self._openings(samples.texts)]

    def state(self) -> dict[str, Any]:
        """The categories."""
        return {} if self.categories is None else {"categories": list(self.categories)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up saved categories."""
        self.categories = tuple(state["categories"]) if state else None


def _openings(texts: list[str]) -> list[str]:
    return [opening(text) for text in texts]
