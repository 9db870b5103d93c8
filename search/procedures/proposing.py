"""How procedures make proposals: i.i.d. draws in between, and one parent varied, with or without inspirations."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from search.procedures.protocol import Vary
from search.records import Candidate, Proposal, Result, Variation

IID_HINT = "0.25 is the default."


def num_iid(share: float, num: int, rng: random.Random) -> int:
    """Draw how many of ``num`` proposals come from the bare prompt.

    Random rounding: the share is kept on average even if the budget leaves batches of one request.
    """
    return min(num, int(share * num + rng.random()))


def iid_draw(num_islands: int, rng: random.Random) -> Proposal:
    """Propose a draw from the bare prompt, for an island by chance."""
    return Proposal(island=rng.randrange(num_islands)) if num_islands > 1 else Proposal()


def varied(
    vary: Vary, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random, island: int = 0
) -> Proposal:
    """Propose a variation of ``parent``; an i.i.d. draw if it cannot be varied."""
    how = vary(parent, inspirations, rng)
    # A variation that forces and shows nothing is an i.i.d. draw, whatever its parent was
    if how is None or how == Variation():
        return Proposal(island=island)
    return Proposal(
        parents=(parent.id,),
        inspirations=tuple(inspiration.id for inspiration in inspirations),
        prefix=how.prefix,
        prompt=how.prompt,
        island=island,
    )


def valid(result: Result) -> Iterator[Candidate]:
    """Iterate over the answers that may become parents."""
    return (candidate for candidate in result.candidates if candidate.status == "ok")
