"""Results as a driver would tell them, and what procedures are compared by."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from search.records import Candidate, Generation, Proposal, Result, Variation


def result(
    *answers: tuple[str, tuple[float, ...]],
    number: int = 0,
    first_id: int = 0,
    status: str = "ok",
    proposal: Proposal | None = None,
) -> Result:
    """One completion with answers as (text, vector); the scalar is the sum of the vector."""
    proposal = proposal or Proposal()
    return Result(
        number=number,
        seed=0,
        proposal=proposal,
        generation=Generation(request_id=0, text="", prompt_tokens=1, completion_tokens=1, finish_reason="stop"),
        candidates=tuple(
            Candidate(
                id=first_id + i,
                answer=answer,
                vector=vector,
                scalar=sum(vector),
                parents=proposal.parents,
                generation_id=number,
                status=status,
            )
            for i, (answer, vector) in enumerate(answers)
        ),
    )


def show(parent: Candidate, inspirations, rng: random.Random) -> Variation:
    """A vary() whose prompt says who is shown."""
    return Variation(prompt="+".join([parent.answer, *(each.answer for each in inspirations)]))


def state_of(thing: Any) -> Any:
    """Everything that an object holds, as plain comparable data."""
    if isinstance(thing, np.ndarray):
        return thing.shape, thing.tolist()
    if isinstance(thing, dict):
        return [(state_of(key), state_of(value)) for key, value in thing.items()]
    if isinstance(thing, list | tuple):
        return [state_of(each) for each in thing]
    if isinstance(thing, set):
        return sorted(map(repr, thing))
    if type(thing).__name__ == "Columns":
        return state_of(thing.values)  # not the room beyond them, which holds leftovers
    if hasattr(thing, "__dict__") and not callable(thing):
        return type(thing).__name__, [(name, state_of(value)) for name, value in vars(thing).items()]
    return thing.__qualname__ if callable(thing) else thing


class Play:
    """Plays a procedure against made-up answers: digits, one component a slot, a few unreadable or invalid."""

    def __init__(self, procedure: Any, *, seed: int = 0, num_slots: int = 4, num_symbols: int = 3) -> None:
        self.procedure, self.seed = procedure, seed
        self.num_slots, self.num_symbols = num_slots, num_symbols
        self.results: list[Result] = []
        self.num_candidates = 0

    def answer(self, proposal: Proposal) -> Result:
        rng = random.Random(f"{self.seed}-{len(self.results)}")
        kind = rng.random()
        texts = [] if kind < 0.1 else self._texts(proposal, rng)
        answers = [(text, tuple(float(symbol == "0") for symbol in text)) for text in texts]
        status = "invalid" if kind > 0.9 else "ok"
        number = len(self.results)
        found = result(*answers, number=number, first_id=self.num_candidates, status=status, proposal=proposal)
        self.num_candidates += len(answers)
        self.results.append(found)
        return found

    def _texts(self, proposal: Proposal, rng: random.Random) -> list[str]:
        shown = str(proposal.prompt).split("+") if proposal.prompt else []
        texts = []
        for _ in range(rng.choice([1, 1, 3])):
            slots = [rng.choice([*pair]) for pair in zip(*shown, strict=True)] if shown else None
            slots = slots or [str(rng.randrange(self.num_symbols)) for _ in range(self.num_slots)]
            slots[rng.randrange(self.num_slots)] = str(rng.randrange(self.num_symbols))
            texts.append("".join(slots))
        return texts

    def rounds(self, num: int, batch: int = 4) -> Play:
        for _ in range(num):
            rng = random.Random(f"ask-{self.seed}-{len(self.results)}")
            proposals = self.procedure.ask(batch, rng)
            self.procedure.tell([self.answer(proposal) for proposal in proposals])
        return self
