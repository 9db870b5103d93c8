"""The lines of a ledger behind its header: one when a completion is there, one more when its answers are evaluated.

Two lines, so that a run that dies in between has paid for the completion all the same and finds it again. Lines stand
in the order in which things happened. Everything but ``wall`` (seconds) is the same in every run with the same seed.

Where machinery failed for some answers of a call, those that were evaluated are written down as ``partial`` before the
others are tried again. Who resumes takes them for known; who replays or folds does not look at them, since the
evaluations of their completions follow. Where there is a screen, an evaluation holds what was decided about new
answers, those that were not evaluated among them, and ``switch`` rows say when the screen was switched, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from search.outcomes import Judged, answer_key
from search.records import Evaluation, Generation, Proposal, Request
from search.screening.decisions import Decision, Switch, read_decision, write_decision
from search.seeds import stable_hash

Row = dict[str, Any]


def generation_row(
    problem_id: str,
    number: int,
    proposal: Proposal,
    request: Request,
    generation: Generation,
    wall: Mapping[str, float],
    round_number: int | None = None,
) -> Row:
    """Write down a completion and what had been asked for; ``round_number`` where there are rounds."""
    return {
        "kind": "generation",
        "problem": problem_id,
        "number": number,
        **({} if round_number is None else {"round": round_number}),
        "request": request.id,
        "seed": request.seed,
        "parents": list(proposal.parents),
        "inspirations": list(proposal.inspirations),
        "prefix": proposal.prefix,
        "prompt_hash": prompt_hash(proposal),
        "island": proposal.island,
        "text": generation.text,
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": generation.completion_tokens,
        "finish_reason": generation.finish_reason,
        "wall": _rounded(wall),
    }


def generation_of(row: Row) -> Generation:
    """Read the completion back."""
    return Generation(
        request_id=row["request"],
        text=row["text"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        finish_reason=row["finish_reason"],
    )


def proposal_of(row: Row) -> Proposal:
    """Read the proposal back, but for a prompt of its own: of that the row holds the hash alone."""
    return Proposal(
        parents=tuple(row["parents"]),
        inspirations=tuple(row["inspirations"]),
        prefix=row["prefix"],
        island=row["island"],
    )


def same_request(row: Row, proposal: Proposal, request: Request) -> bool:
    """Whether a row answers this very request."""
    return (row["request"], row["seed"], row["prompt_hash"], proposal_of(row)) == (
        request.id,
        request.seed,
        prompt_hash(proposal),
        replace(proposal, prompt=None),
    )


def evaluation_row(
    problem_id: str,
    number: int,
    answers: Iterable[Judged],
    wall: Mapping[str, float],
    decisions: Iterable[Decision] = (),
) -> Row:
    """Write down the evaluated answers of completion ``number``, and what a screen decided."""
    screen = [write_decision(each) for each in decisions]
    return {
        "kind": "evaluation",
        "problem": problem_id,
        "number": number,
        "answers": _written(answers),
        **({"screen": screen} if screen else {}),
        "wall": _rounded(wall),
    }


def decisions_of(row: Row) -> tuple[Decision, ...]:
    """Read the decisions of an evaluation back."""
    answers = {each.key: each.answer for each in answers_of(row)} if "screen" in row else {}
    return tuple(read_decision(each, answers) for each in row.get("screen", ()))


def switch_row(problem_id: str, switch: Switch, wall: Mapping[str, float]) -> Row:
    """Write down that a screen was switched."""
    return {"kind": "switch", "problem": problem_id, **asdict(switch), "wall": _rounded(wall)}


def partial_row(problem_id: str, answers: Iterable[Judged], wall: Mapping[str, float]) -> Row:
    """Write down evaluated answers whose completions have others that are not evaluated yet."""
    return {"kind": "partial", "problem": problem_id, "answers": _written(answers), "wall": _rounded(wall)}


def answers_of(row: Row) -> tuple[Judged, ...]:
    """Read the answers of an evaluation, or of a part, back."""
    return tuple(
        Judged(
            answer=each["answer"],
            key=each.get("key") or answer_key(each["answer"]),
            evaluation=Evaluation(vector=tuple(each["vector"]), status=each["status"], artifact=each["artifact"]),
            scalar=each["scalar"],
        )
        for each in row["answers"]
    )


def abort_row(problem_id: str, numbers: Sequence[int], wall: Mapping[str, float]) -> Row:
    """Write down which requests were cut off under way because the problem was solved."""
    return {"kind": "abort", "problem": problem_id, "numbers": list(numbers), "wall": _rounded(wall)}


def prompt_hash(proposal: Proposal) -> str | None:
    """Name of the proposal's own prompt, None if it has none."""
    return None if proposal.prompt is None else f"{stable_hash(proposal.prompt):016x}"


def _written(answers: Iterable[Judged]) -> list[dict[str, Any]]:
    return [
        {
            "answer": judged.answer,
            # Left out where the canonical form is the text itself
            **({} if judged.key == answer_key(judged.answer) else {"key": judged.key}),
            "vector": list(judged.evaluation.vector),
            "scalar": judged.scalar,
            "status": judged.evaluation.status,
            "artifact": judged.evaluation.artifact,
        }
        for judged in answers
    ]


def _rounded(wall: Mapping[str, float]) -> dict[str, float]:
    return {name: round(seconds, 6) for name, seconds in wall.items()}
