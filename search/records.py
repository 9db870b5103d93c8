"""The plain records of a search: what is asked of a sampler, what comes back, and what was learned from it.

Every record is frozen, holds plain data only (no tensors, no handles) and survives a round trip through JSON, because
the state of a search is a fold over its ledger. Numbers that start at 0 and run within ONE problem: ``number`` of a
generation, ``id`` of a candidate. Letters: D components of a reward vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Prompt = str | list[dict[str, Any]]
"""A plain string, or a list of chat messages (``{"role": ..., "content": ...}``)."""

Vector = tuple[float, ...]
"""(D,) one reward per component, higher is better."""


Status = Literal["ok", "invalid", "error", "timeout", "oom", "screened"]
"""How an answer's evaluation went: "invalid" for a value that is no solution, "error" if a program raised, "screened"
if it fell short on a part of the components and the rest was not measured (see ``search.cascade``)."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How completions are drawn; the same for every request of a run.

    Attributes:
        max_new_tokens: Most tokens one completion may generate (a forced prefix is not counted).
        temperature: Softmax temperature; 0 is greedy decoding.
        top_p: Nucleus mass in (0, 1]; 1 keeps the whole vocabulary.

    Raises:
        ValueError: A value lies outside its range.
    """

    max_new_tokens: int = 512
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(
                f"max_new_tokens is {self.max_new_tokens}, expected at least 1: allow room for the answers."
            )
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(
                f"temperature is {self.temperature}, expected a finite number >= 0: "
                "use 1.0 to sample as in training, 0 for greedy decoding."
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, expected a share in (0, 1]: use 1.0 to keep every token.")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One completion that a sampler is asked for.

    Attributes:
        id: Unique within the run; the generation names it.
        prompt: What the policy sees.
        prefix: Text that the completion must begin with (a forced prefill). It is not charged as generated.
        seed: 63-bit seed of this request alone; together with prompt and prefix it fixes the completion.
        max_new_tokens, temperature, top_p: See ``Sampling``.
    """

    id: int
    prompt: Prompt
    seed: int
    max_new_tokens: int
    temperature: float = 1.0
    prefix: str = ""
    top_p: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One completion.

    Attributes:
        request_id: ``Request.id`` of the request that it answers.
        text: The whole completion, the forced prefix INCLUDED.
        prompt_tokens: Tokens that were read before the first generated one (prompt and prefix).
        completion_tokens: Generated tokens, the end-of-sequence token included; 1 at least.
        finish_reason: "stop" if the policy ended the completion, "length" if it was cut.
    """

    request_id: int
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How a policy is asked to vary a candidate: a beginning that it continues, a prompt that shows it, or both.

    Attributes:
        prefix: Forced beginning of the completion.
        prompt: What the policy sees in place of the problem's bare prompt; None for the bare prompt.
    """

    prefix: str = ""
    prompt: Prompt | None = None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a procedure wants sampled next: by default one more draw from the bare prompt.

    Attributes:
        parents: Ids of the candidates that it varies; empty for an i.i.d. draw.
        inspirations: Ids of further candidates that the policy is shown.
        prefix, prompt: See :class:`Variation`.
        island: Which subpopulation its answers belong to, for procedures that have several.
    """

    parents: tuple[int, ...] = ()
    inspirations: tuple[int, ...] = ()
    prefix: str = ""
    prompt: Prompt | None = None
    island: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluator found, where a bare vector does not say it all.

    Attributes:
        vector: (D,) rewards; the problem's floor unless the status is "ok".
        status: See :data:`Status`.
        artifact: Text that helps the next attempt: a traceback, a failing test. It may enter prompts.
    """

    vector: Vector
    status: Status = "ok"
    artifact: str = ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One evaluated answer.

    Attributes:
        id: Running number of the answer within its problem.
        answer: The answer as parsed.
        vector: (D,) rewards.
        scalar: w* . vector, what the user finally wants: for reports, and for procedures that are about one scalar by
            definition (revision, beam, PUCT, the elites of a map). Lexicase and Pareto selection never look at it.
        parents: Candidates that the proposal varied.
        generation_id: ``number`` of the generation that holds the answer.
        status: As the evaluator said; "invalid" also if it gave a non-finite vector (replaced by zeros).
        artifact: As the evaluator said.
        duplicate: The same answer (by ``Problem.canonical``, if there is one) was told before in this search; its
            vector comes from the cache.
    """

    id: int
    answer: str
    vector: Vector
    scalar: float
    parents: tuple[int, ...]
    generation_id: int
    status: Status = "ok"
    artifact: str = ""
    duplicate: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """One generation with all of its evaluated answers: the unit that a procedure is told.

    Attributes:
        number: Running number of the request within its problem.
        seed: Seed of the request.
        proposal: What had been proposed.
        generation: What came back.
        candidates: All evaluated answers of the generation, in order; empty if none could be parsed.
        num_dropped: Answers that a screen kept from evaluation (`search.screening`); nothing else is told of them.
    """

    number: int
    seed: int
    proposal: Proposal
    generation: Generation
    candidates: tuple[Candidate, ...]
    num_dropped: int = 0

    @property
    def status(self) -> Literal["ok", "dropped", "unparsed"]:
        """Whether the completion held an answer at all, and one that was evaluated."""
        if self.candidates:
            return "ok"
        return "dropped" if self.num_dropped else "unparsed"

    @property
    def num_charged_answers(self) -> int:
        """Answers on the bill: a completion without any answer counts as one look that earned nothing.

        Otherwise a policy that never closes a tag would search for ever within an answer budget. One whose answers were
        all dropped by a screen costs its tokens alone; the answers that are audited end such a search.
        """
        return max(0 if self.num_dropped else 1, len(self.candidates))


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """All that a search found on one problem. Series run over its generations, in the order they were told.

    Attributes:
        problem_id: The problem.
        candidates: Every answer in order, duplicates included.
        answers: Cumulative charged answers after each generation.
        completion_tokens: Cumulative generated tokens after each generation.
        best: Best scalar among the candidates so far after each generation; NaN before the first answer.
        prompt_tokens: Cumulative tokens that were read, after each generation.
        dropped: Cumulative answers that a screen kept from evaluation, after each generation.
        solved: The search ended because an answer reached the target.
        num_aborted: Requests given up because the problem was solved: under way, or back but not yet told. Which ones
            depends on the clock, so they are left out of comparisons, as are their tokens.
        aborted_tokens: What they generated as far as it is known: all of those that were back, nothing of those that
            were cut off under way, which a server may bill all the same.
    """

    problem_id: str
    candidates: tuple[Candidate, ...]
    answers: tuple[int, ...]
    completion_tokens: tuple[int, ...]
    best: tuple[float, ...]
    prompt_tokens: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    solved: bool = False
    num_aborted: int = field(default=0, compare=False)
    aborted_tokens: int = field(default=0, compare=False)

    @classmethod
    def from_results(
        cls,
        problem_id: str,
        results: Sequence[Result],
        *,
        solved: bool = False,
        num_aborted: int = 0,
        aborted_tokens: int = 0,
    ) -> SearchResult:
        """Fold told results into the report of one problem."""
        candidates: list[Candidate] = []
        answers, tokens, read, dropped, best = [0], [0], [0], [0], [math.nan]
        for result in results:
            candidates.extend(result.candidates)
            read.append(read[-1] + result.generation.prompt_tokens)
            dropped.append(dropped[-1] + result.num_dropped)
            answers.append(answers[-1] + result.num_charged_answers)
            tokens.append(tokens[-1] + result.generation.completion_tokens)
            scalars = [candidate.scalar for candidate in result.candidates]
            # NaN fails every comparison, so the first answer must replace it by name rather than by max()
            seen = scalars if math.isnan(best[-1]) else [*scalars, best[-1]]
            best.append(max(seen, default=math.nan))
        return cls(
            problem_id=problem_id,
            candidates=tuple(candidates),
            answers=tuple(answers[1:]),
            completion_tokens=tuple(tokens[1:]),
            best=tuple(best[1:]),
            prompt_tokens=tuple(read[1:]),
            dropped=tuple(dropped[1:]),
            solved=solved,
            num_aborted=num_aborted,
            aborted_tokens=aborted_tokens,
        )
