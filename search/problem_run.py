"""One problem within a run: its procedure, its account, its answers so far. No file, no model, no clock.

The driver calls ``ask``, has the requests sampled (or finds them in the ledger), calls ``judge`` and then ``tell``. A
replayed result goes the same way as a fresh one, so a resumed run cannot drift from an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from search.budget import Account, Budget, Cost
from search.problem import Problem
from search.procedures import Procedure
from search.records import Candidate, Evaluation, Generation, Proposal, Request, Result, Sampling, SearchResult
from search.seeds import ask_rng, request_seed


@dataclass(frozen=True)
class Ticket:
    """A request on its way: the ``number``-th of its problem, with the budget reserved for it."""

    number: int
    proposal: Proposal
    request: Request
    worst: Cost


class ProblemRun:
    """State of the search on one problem.

    Args:
        problem: The problem.
        procedure: A new procedure, for this problem alone.
        budget: What the problem may cost.
        sampling: Settings of every request.
        run_seed: Seed of the run.

    Attributes:
        problem: The problem.
        results: Everything told so far, in order of number.
        account: Its budget.
        finished: No further request will be asked for.
        best: Best scalar so far, None before the first answer.

    Raises:
        ValueError: Not even one request fits into the budget.
    """

    def __init__(
        self, problem: Problem, procedure: Procedure, budget: Budget, *, sampling: Sampling, run_seed: int
    ) -> None:
        self.problem = problem
        self.results: list[Result] = []
        self.account = Account(budget)
        self.finished = False
        self.best: float | None = None
        self._procedure = procedure
        self._sampling = sampling
        self._run_seed = run_seed
        self._known: dict[str, Candidate] = {}  # answer -> the candidate that was evaluated
        self._num_components: int | None = None
        self._num_candidates = 0
        self._worst = Cost(problem.num_answers, sampling.max_new_tokens)
        if not budget.covers(self._worst):
            raise ValueError(
                f"{budget} cannot hold one request of problem {problem.id!r}, which may cost {self._worst}: "
                "raise the budget, or lower max_new_tokens or the number of answers."
            )

    def ask(self, batch: int, request_ids: Iterator[int]) -> list[Ticket]:
        """Reserve what the budget still covers, at most ``batch`` requests, and let the procedure fill it."""
        num_reserved = 0
        while num_reserved < batch and not self.finished and self.account.reserve(self._worst):
            num_reserved += 1
        proposals: list[Proposal] = []
        if num_reserved:
            rng = ask_rng(self._run_seed, self.problem.id, len(self.results))
            proposals = self._procedure.ask(num_reserved, rng)
        if len(proposals) > num_reserved:
            raise ValueError(
                f"ask({num_reserved}) of {type(self._procedure).__name__} gave {len(proposals)} proposals, expected at "
                "most as many as asked for: cut the list in ask()."
            )
        for _ in range(num_reserved - len(proposals)):
            self.account.release(self._worst)
        self.finished = not proposals
        return [self._ticket(len(self.results) + i, p, next(request_ids)) for i, p in enumerate(proposals)]

    def judge(
        self, tickets: Sequence[Ticket], fresh: Mapping[int, Generation], replayed: Mapping[int, Result]
    ) -> list[Result]:
        """Parse and evaluate what came back. Every answer of every generation counts; known answers are not re-run.

        Args:
            tickets: What ``ask`` gave.
            fresh: Number -> generation, for those that were sampled now.
            replayed: Number -> result, for those found in the ledger; ``fresh`` and ``replayed`` cover all tickets.

        Returns:
            One result per ticket, in order.

        Raises:
            ValueError: The problem's parse, evaluate or scalar broke its contract.
        """
        for result in replayed.values():
            self._remember(result.candidates)
        parsed = {ticket.number: self._parse(fresh[ticket.number]) for ticket in tickets if ticket.number in fresh}
        unknown = dict.fromkeys(a for answers in parsed.values() for a in answers if a not in self._known)
        evaluations = self._evaluate(list(unknown)) if unknown else {}
        results = []
        next_id = self._num_candidates
        for ticket in tickets:
            if ticket.number in replayed:
                result = replayed[ticket.number]
            else:
                result = Result(
                    number=ticket.number,
                    seed=ticket.request.seed,
                    proposal=ticket.proposal,
                    generation=fresh[ticket.number],
                    candidates=tuple(
                        self._candidate(next_id + i, answer, ticket, evaluations)
                        for i, answer in enumerate(parsed[ticket.number])
                    ),
                )
            next_id += len(result.candidates)
            results.append(result)
        return results

    def tell(self, tickets: Sequence[Ticket], results: Sequence[Result]) -> None:
        """Charge the results and hand them to the procedure."""
        for ticket, result in zip(tickets, results, strict=True):
            actual = Cost(result.num_charged_answers, result.generation.completion_tokens)
            self.account.settle(ticket.worst, actual)
            self._num_candidates += len(result.candidates)
            for candidate in result.candidates:
                self.best = candidate.scalar if self.best is None else max(self.best, candidate.scalar)
        self.results.extend(results)
        if results:
            self._procedure.tell(results)

    def report(self) -> SearchResult:
        """What was found so far."""
        return SearchResult.from_results(self.problem.id, self.results)

    def _ticket(self, number: int, proposal: Proposal, request_id: int) -> Ticket:
        request = Request(
            id=request_id,
            prompt=self.problem.prompt if proposal.prompt is None else proposal.prompt,
            prefix=proposal.prefix,
            seed=request_seed(self._run_seed, self.problem.id, number),
            max_new_tokens=self._sampling.max_new_tokens,
            temperature=self._sampling.temperature,
            top_p=self._sampling.top_p,
        )
        return Ticket(number, proposal, request, self._worst)

    def _parse(self, generation: Generation) -> list[str]:
        answers = list(self.problem.parse(generation.text))
        if len(answers) > self.problem.num_answers:
            raise ValueError(
                f"parse() of problem {self.problem.id!r} gave {len(answers)} answers, expected at most num_answers = "
                f"{self.problem.num_answers}: drop the surplus in parse(), or raise num_answers."
            )
        return answers

    def _evaluate(self, answers: list[str]) -> dict[str, Evaluation]:
        """Map each answer to its evaluation; a non-finite vector becomes zeros, and invalid."""
        found = [e if isinstance(e, Evaluation) else Evaluation(vector=e) for e in self.problem.evaluate(answers)]
        vectors = [tuple(float(reward) for reward in each.vector) for each in found]
        if len(vectors) != len(answers):
            raise ValueError(
                f"evaluate() of problem {self.problem.id!r} gave {len(vectors)} vectors for {len(answers)} answers, "
                "expected one each: give a zero vector to an answer that fails."
            )
        if self._num_components is None:
            self._num_components = len(vectors[0])
        lengths = sorted({len(vector) for vector in vectors} | {self._num_components})
        if len(lengths) > 1 or lengths[0] == 0:
            raise ValueError(
                f"evaluate() of problem {self.problem.id!r} gave vectors of lengths {lengths}, expected one length of "
                "at least 1: score every answer on the same components."
            )
        checked = []
        for each, vector in zip(found, vectors, strict=True):
            if all(map(math.isfinite, vector)):
                checked.append(replace(each, vector=vector))
            else:
                status = "invalid" if each.status == "ok" else each.status
                checked.append(replace(each, vector=(0.0,) * self._num_components, status=status))
        return dict(zip(answers, checked, strict=True))

    def _candidate(
        self, candidate_id: int, answer: str, ticket: Ticket, evaluations: Mapping[str, Evaluation]
    ) -> Candidate:
        parents = ticket.proposal.parents
        known = self._known.get(answer)
        if known is not None:
            return replace(known, id=candidate_id, parents=parents, generation_id=ticket.number, duplicate=True)
        found = evaluations[answer]
        scalar = float(self.problem.scalar(found.vector))
        if not math.isfinite(scalar):
            raise ValueError(
                f"scalar({found.vector}) of problem {self.problem.id!r} gave {scalar}, "
                "expected a finite number: check w*."
            )
        candidate = Candidate(
            id=candidate_id,
            answer=answer,
            vector=found.vector,
            scalar=scalar,
            parents=parents,
            generation_id=ticket.number,
            status=found.status,
            artifact=found.artifact,
        )
        self._remember([candidate])
        return candidate

    def _remember(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self._known.setdefault(candidate.answer, candidate)
            self._num_components = len(candidate.vector)
