"""The open requests of one problem in a stream: what is told when, and what is asked for next.

At most ``size`` requests are open: asked for and not told. In order, the n-th request is asked for when the first
n - size results are told, whatever comes back when; so what a procedure knows at every ask, and with it the whole
search, is a function of the seed. Out of order, results are told as they are complete, and the ledger keeps that order.
"""

from __future__ import annotations

from search.outcomes import Outcome
from search.problem_run import ProblemRun, Ticket
from search.records import Generation
from search.screening.decisions import Decision
from search.turns import Turns


class Window:
    """Open requests of one problem.

    Args:
        run: The problem.
        size: Most open requests.
        ordered: Tell by number.

    Attributes:
        run: The problem.
        turns: In which a screen decides about completions, where they are told by number.
    """

    def __init__(self, run: ProblemRun, size: int, ordered: bool) -> None:
        self.run, self.turns = run, Turns()
        self._size, self._ordered = size, ordered
        self._open: dict[int, Ticket] = {}
        self._complete: dict[int, Outcome] = {}  # not told yet
        self._returned: dict[int, int] = {}  # tokens of completions that came back and are not told
        self._last: int | None = None  # number of an outcome that reached the target: nothing behind it will be told
        self._next = 0

    @property
    def solved(self) -> bool:
        """Whether an outcome reached the target, told or not."""
        return self._last is not None

    def fill(self) -> list[Ticket]:
        """Ask for as many requests as there is room for."""
        if self.solved or self.run.finished:
            return []
        tickets = self.run.ask(self._size - self.run.num_open)
        self._open.update((ticket.number, ticket) for ticket in tickets)
        return tickets

    def wants(self, number: int) -> bool:
        """Whether the outcome of a request may still be told."""
        return number in self._open and (self._last is None or (self._ordered and number <= self._last))

    def arrived(self, number: int, generation: Generation) -> None:
        """Note a completion that is to be evaluated."""
        self._returned[number] = generation.completion_tokens

    async def sift(
        self, ticket: Ticket, generation: Generation
    ) -> tuple[list[tuple[str, str]], tuple[Decision, ...]] | None:
        """(answer, key) of what is evaluated of a completion, with the decisions of a screen if there is one.

        Where results are told by number it decides by number, too; None if a turn will not come, as there will be no
        completion of an earlier request: then this one will not be told.
        """
        answers = self.run.evaluations.parse(generation)
        if self.run.screen is None:
            return answers, ()
        if not self._ordered:
            return self.run.sift(ticket, answers, len(self.run.results))
        if not await self.turns.wait(ticket.number):
            return None
        sifted = self.run.sift(ticket, answers)
        self.turns.over(ticket.number)
        return sifted

    def complete(self, number: int, outcome: Outcome) -> list[Ticket]:
        """Take an outcome, tell what can be told, and ask for what may follow.

        Each result is told by itself and followed by an ask, so that nothing depends on how many came at once.
        """
        self._complete[number] = outcome
        if self.run.solves(outcome):
            self._last = number if self._last is None else min(number, self._last)
        tickets = []
        if not self._ordered:
            self._next = number
        while self._next in self._complete and not self.run.finished:
            told = self._next
            self._next += 1
            self._returned.pop(told, None)
            self.run.tell([(self._open.pop(told), self._complete.pop(told))])
            tickets += self.fill()
            if not self._ordered:
                break
        return tickets

    def close(self, cut_off: list[int]) -> None:
        """Give back what is still open; if the problem is solved, note what was given up."""
        self.run.release(self._open.values())
        self._open.clear()
        if self.run.solved:
            self.run.give_up(self._returned.items(), cut_off)
