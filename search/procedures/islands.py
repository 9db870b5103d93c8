"""Islands: separate populations of one search, and the moments at which something passes between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from search.procedures.proposing import valid
from search.records import Candidate, Result


class Population(Protocol):
    """What an island holds."""

    def __len__(self) -> int: ...

    def add(self, candidate: Candidate) -> object:
        """Admit a candidate, or leave it."""
        ...


P = TypeVar("P", bound=Population)


class Islands(list[P]):
    """Populations by number, as `Proposal.island` names them.

    Args:
        populations: One or more.
        every: Charged answers of the whole search between two events, such as migrations.

    Attributes:
        num_answers: Charged answers of the search so far.
    """

    def __init__(self, populations: Iterable[P], every: int) -> None:
        super().__init__(populations)
        self._every = every
        self.num_answers = 0

    def settled(self) -> list[int]:
        """Numbers of those that have members."""
        return [number for number, population in enumerate(self) if len(population)]

    def admit(self, result: Result) -> bool:
        """Let every valid answer into the island of its proposal.

        Returns:
            Whether the time for an event has come.
        """
        for candidate in valid(result):
            self[result.proposal.island].add(candidate)
        before, self.num_answers = self.num_answers, self.num_answers + result.num_charged_answers
        return before // self._every < self.num_answers // self._every

    def pass_on(self, leaving: Sequence[Sequence[Candidate]]) -> None:
        """Copy what each island sends to the next one in the ring."""
        for target, migrants in enumerate([leaving[-1], *leaving[:-1]]):
            for migrant in migrants:
                self[target].add(migrant)
