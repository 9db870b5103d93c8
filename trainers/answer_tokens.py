"""Which tokens of a completion are an answer's own: for advantages by token.

A tokenizer knows nothing of answers: a token may hold the end of a tag and the start of an answer, half a character, or
no text at all. The place of a token is found by decoding the tokens before it, never by counting characters of single
tokens, whose text depends on their neighbours.

Shape letters: B completions, T completion tokens, M answers a completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vpo.answers import AnswerFormat, AnswerSet
from vpo.rewards import AnswerReward


def answer_tokens(
    tokenizer: Any, ids: Sequence[int], answer_format: AnswerFormat, answers: Sequence[str] | None = None
) -> list[tuple[int, int]] | None:
    """Token range of each answer of a completion, its tags included.

    The closing tag belongs to the answer, as its first token is the decision to end it; so does the opening one, the
    decision to give it. A token that reaches over a border belongs to the answer that it has a part of. An answer that
    was begun and never closed has all that follows, while there is room for one more.

    Args:
        tokenizer: Decodes the ids.
        ids: The completion's T token ids.
        answer_format: How it holds its answers.
        answers: The answers that were scored, if they must be those that the tokens spell.

    Returns:
        (start, end) for each answer in the order of the answers, and at last for the unfinished one; None if the tokens
        do not spell the text, or spell other answers.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True)
    found = answer_format.parse(text)
    if answers is not None and tuple(answers) != found.answers:
        return None
    lengths: dict[int, int] = {0: 0, len(ids): len(text)}

    def spelled(count: int) -> int:
        """Characters of the text that the first ``count`` tokens spell; half a character is none."""
        if count not in lengths:
            lengths[count] = _common(text, tokenizer.decode(ids[:count], skip_special_tokens=True))
        return lengths[count]

    def first_with(place: int) -> int:
        """Fewest tokens that spell at least ``place`` characters."""
        low, high = 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if spelled(middle) >= place else (middle + 1, high)
        return low

    elements = list(found.elements)
    if found.unfinished is not None and has_room(found, answer_format):
        elements.append(found.unfinished)
    ranges = []
    for start, end in elements:
        first = first_with(start)
        if spelled(first) > start:
            first -= 1  # it reaches over the border
        last = first_with(end) if (start, end) != found.unfinished else len(ids)  # the end token, too, did not close it
        if not 0 <= first <= last or spelled(last) < end:
            return None
        ranges.append((first, last))
    return ranges


def has_room(found: AnswerSet, answer_format: AnswerFormat) -> bool:
    """Whether a completion holds an unfinished answer that, closed, would have been one more of its set."""
    return found.unfinished is not None and len(found.answers) < answer_format.num_answers


def unfinished_answers(reward: AnswerReward) -> Tensor:
    """Places of the answers that were begun and never closed, in the batch that a reward function has just scored.

    Returns:
        (B, M) bool, on the CPU: True right behind the last answer of a completion.
    """
    assert reward.last is not None  # it was called on this batch
    places = torch.zeros(len(reward.last.answer_sets), reward.answer_format.num_answers, dtype=torch.bool)
    for row, found in enumerate(reward.last.answer_sets):
        if has_room(found, reward.answer_format):
            places[row, len(found.answers)] = True
    return places


def batch_answer_tokens(
    tokenizer: Any, completion_ids: Sequence[Sequence[int]], reward: AnswerReward
) -> tuple[list[list[tuple[int, int]]], float]:
    """Token ranges of the answers that a reward function has just scored.

    Args:
        tokenizer: Decodes the ids.
        completion_ids: B completions.
        reward: Parsed the same completions' text.

    Returns:
        For each completion the ranges of its answers, as `answer_tokens` has them, and the share of completions whose
        answers have no place in their tokens, because a chat template's parser cut the text (a draft in the thinking is
        not the answer): none are given for them.
    """
    assert reward.last is not None  # it was called on this batch
    ranges: list[list[tuple[int, int]]] = []
    lost = 0
    for ids, found in zip(completion_ids, reward.last.answer_sets, strict=True):
        own = answer_tokens(tokenizer, ids, reward.answer_format, found.answers)
        if own is not None and len(own) != len(found.answers) + has_room(found, reward.answer_format):
            own = None  # a parser has cut off, or closed, what the tokens leave open
        ranges.append(own or [])
        lost += own is None
    return ranges, lost / max(len(ranges), 1)


def advantages_by_token(
    advantages: Tensor,
    answer_advantages: Tensor,
    mask: Tensor,
    ranges: Sequence[Sequence[tuple[int, int]]],
    length: int,
) -> Tensor:
    """Spread advantages over tokens: an answer's own on its tokens, its completion's on all others.

    Args:
        advantages: (B,) of completions.
        answer_advantages: (B, M) of answers.
        mask: (B, M) answers that exist, or were begun.
        ranges: For each completion the token ranges of its existing answers in order; empty to give it its own
            advantage throughout.
        length: T.

    Returns:
        (B, T); a token that two answers share has the mean of theirs.
    """
    total = torch.zeros(len(advantages), length, dtype=advantages.dtype, device=advantages.device)
    owners = torch.zeros_like(total)
    for row, spans in enumerate(ranges):
        places = mask[row].nonzero().flatten().tolist()
        for place, (start, end) in zip(places, spans, strict=bool(spans)):
            total[row, start:end] += answer_advantages[row, place]
            owners[row, start:end] += 1
    return torch.where(owners > 0, total / owners.clamp(min=1), advantages.unsqueeze(1))


def _common(text: str, other: str) -> int:
    """Length of the common prefix."""
    if text.startswith(other):
        return len(other)
    for place, (a, b) in enumerate(zip(text, other, strict=False)):
        if a != b:
            return place
    return len(text)
