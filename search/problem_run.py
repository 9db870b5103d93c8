"""One problem within a run: its procedure, its account, its answers so far. No file, no model, no clock.

A driver calls ``ask``, has the requests sampled and their answers evaluated (or finds both in the ledger), and calls
``tell``. A replayed outcome goes the same way as a fresh one, so a resumed run cannot drift from an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.budget import Account, Budget, Cost, CountTokens
from search.evaluations import Evaluations
from search.fold import aborted
from search.outcomes import Numbering, Outcome
from search.problem import Problem
from search.procedures import Procedure
from search.records import Prompt, Proposal, Request, Result, Sampling, SearchResult
from search.screening.decisions import Decision
from search.screening.rules import Screening
from search.screening.screen import Screen
from search.seeds import ask_rng, request_seed


@dataclass(frozen=True)
class Ticket:
    """A request on its way: the ``number``-th of its problem, with the budget reserved for it.

    ``num_told`` results were told when it was asked for.
    """

    number: int
    proposal: Proposal
    request: Request
    worst: Cost
    num_told: int = 0


class ProblemRun:
    """State of the search on one problem.

    Args:
        problem: The problem.
        procedure: A new procedure, for this problem alone.
        budget: What the problem may cost.
        sampling: Settings of every request.
        run_seed: Seed of the run.
        count_tokens: What a prompt takes; needed if the budget limits total tokens.
        target: A scalar; an answer that reaches it solves the problem and ends its search.
        place: (index of the problem in the run, number of problems): makes request ids unique in the run whatever
            the order in which problems are asked.
        screen: Rules of a screen before the evaluation; None for none.

    Attributes:
        problem: The problem.
        results: Everything told so far.
        account: Its budget.
        evaluations: Its answers.
        num_open: Requests asked for and not told, released or given up.
        finished: No further request will be asked for.
        solved: An answer that was told reached the target.
        best: Best scalar so far, None before the first answer.
        screen: The screen before its evaluation, None if there is none.
        num_dropped: Answers that it kept from evaluation.

    Raises:
        ValueError: Not even one request fits into the budget.
    """

    def __init__(
        self,
        problem: Problem,
        procedure: Procedure,
        budget: Budget,
        *,
        sampling: Sampling,
        run_seed: int,
        count_tokens: CountTokens | None = None,
        target: float | None = None,
        place: tuple[int, int] = (0, 1),
        screen: Screening | None = None,
    ) -> None:
        self.problem = problem
        self.results: list[Result] = []
        self.account = Account(budget)
        self.evaluations = Evaluations(problem)
        self.screen = None if screen is None else Screen(screen, problem, run_seed)
        self.finished = False
        self.solved = False
        self.best: float | None = None
        self.num_dropped = 0
        self._procedure = procedure
        self._sampling = sampling
        self._run_seed = run_seed
        self._count_tokens = count_tokens if budget.max_total_tokens is not None else None
        self._target = target
        self._place = place
        self._numbering = Numbering()
        self._next_number = 0
        self._aborted = (0, 0)
        self._open: dict[int, Proposal] = {}  # asked for and not told, oldest first
        self._worst = Cost(problem.num_answers, sampling.max_new_tokens)
        least = self._worst + self._reading(problem.prompt, "")
        if not budget.covers(least):
            raise ValueError(
                f"{budget} cannot hold one request of problem {problem.id!r}, which may cost {least}: "
                "raise the budget, or lower max_new_tokens or the number of answers."
            )

    @property
    def num_open(self) -> int:
        """Requests that are asked for and not told yet."""
        return len(self._open)

    def ask(self, most: int) -> list[Ticket]:
        """Reserve what the budget still covers, at most ``most`` requests, and let the procedure fill it.

        Nothing at all while nothing is open ends the search. Until then it means: not now.
        """
        num = 0
        while num < most and not self.finished and self.account.reserve(self._worst):
            num += 1
        for _ in range(num):  # what the prompts take is known when they are proposed
            self.account.release(self._worst)
        proposals: list[Proposal] = []
        if num:
            rng = ask_rng(self._run_seed, self.problem.id, self._next_number)
            proposals = self._procedure.ask(num, rng, tuple(self._open.values()))
        if len(proposals) > num:
            raise ValueError(
                f"ask({num}) of {type(self._procedure).__name__} gave {len(proposals)} proposals, expected at most as "
                "many as asked for: cut the list in ask()."
            )
        tickets = self._reserve(proposals)
        self._next_number += len(tickets)
        self._open.update((ticket.number, ticket.proposal) for ticket in tickets)
        self.finished = self.finished or self.num_open == 0
        return tickets

    def sift(
        self, ticket: Ticket, answers: list[tuple[str, str]], num_told: int | None = None
    ) -> tuple[list[tuple[str, str]], tuple[Decision, ...]]:
        """Let the screen decide which answers of a completion are evaluated.

        Args:
            ticket: The request; no earlier ask than that of the call before.
            answers: (answer, key) of the completion.
            num_told: Results that the screen knows; by default those that were told when the request was asked for.

        Returns:
            Those that are evaluated, and the decisions on new ones.
        """
        if self.screen is None:
            return answers, ()
        return self.screen.sift(ticket.number, ticket.num_told if num_told is None else num_told, answers)

    def tell(self, told: Sequence[tuple[Ticket, Outcome]]) -> None:
        """Charge the outcomes and hand them to the procedure."""
        results = []
        for ticket, outcome in told:
            result = self._numbering.result(ticket.number, ticket.request.seed, ticket.proposal, outcome)
            generation = outcome.generation
            actual = Cost(result.num_charged_answers, generation.completion_tokens, generation.prompt_tokens)
            self.account.settle(ticket.worst, actual)
            for candidate in result.candidates:
                self.best = candidate.scalar if self.best is None else max(self.best, candidate.scalar)
            results.append(result)
            self.num_dropped += result.num_dropped
            if self.screen is not None:
                self.screen.told(outcome)
            del self._open[ticket.number]
            self.solved = self.solved or self.solves(outcome)
        self.results.extend(results)
        if results:
            self._procedure.tell(results)
        self.finished = self.finished or self.solved

    def solves(self, outcome: Outcome) -> bool:
        """Whether an answer of ``outcome`` reaches the target."""
        return self._target is not None and any(judged.scalar >= self._target for judged in outcome.answers)

    def release(self, tickets: Iterable[Ticket]) -> None:
        """Give back requests that are not sent or not told any more."""
        for ticket in tickets:
            self.account.release(ticket.worst)
            del self._open[ticket.number]

    def give_up(self, returned: Iterable[tuple[int, int]], cut_off: Iterable[int]) -> None:
        """Note (number, tokens) of what came back and will not be told, and the numbers of what was under way."""
        self._aborted = aborted(dict(returned), cut_off, ())

    def conclude(self) -> None:
        """Let the screen take in everything that was told: nothing more is decided."""
        if self.screen is not None:
            self.screen.learn()

    def report(self) -> SearchResult:
        """What was found so far."""
        num_aborted, tokens = self._aborted
        return SearchResult.from_results(
            self.problem.id, self.results, solved=self.solved, num_aborted=num_aborted, aborted_tokens=tokens
        )

    def _reserve(self, proposals: Sequence[Proposal]) -> list[Ticket]:
        """Tickets for the proposals that the budget covers, up to the first that it does not."""
        tickets: list[Ticket] = []
        for proposal in proposals:
            prompt = self.problem.prompt if proposal.prompt is None else proposal.prompt
            worst = self._worst + self._reading(prompt, proposal.prefix)
            if not self.account.reserve(worst):
                break
            number = self._next_number + len(tickets)
            request = Request(
                id=number * self._place[1] + self._place[0],
                prompt=prompt,
                prefix=proposal.prefix,
                seed=request_seed(self._run_seed, self.problem.id, number),
                max_new_tokens=self._sampling.max_new_tokens,
                temperature=self._sampling.temperature,
                top_p=self._sampling.top_p,
            )
            tickets.append(Ticket(number, proposal, request, worst, len(self.results)))
        return tickets

    def _reading(self, prompt: Prompt, prefix: str) -> Cost:
        """Prompt tokens to reserve; none if the budget does not limit them."""
        if self._count_tokens is None:
            return Cost(0, 0)
        return Cost(0, 0, self._count_tokens(prompt) + (self._count_tokens(prefix) if prefix else 0))
