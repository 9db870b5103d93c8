"""What each answer of a set deserves: credit for its own tokens, where VPO pays every token the set's reward.

Answer i of a completion that holds m of them is paid

* "marginal": ``R(S) - R(S without i)``. An answer that another one makes superfluous is paid nothing, and a bad answer
  is no longer paid for its neighbour's success. It is a difference reward: exact if the other answers were drawn
  independently, while in truth answer i was read by the later ones.
* "to_go": ``R(S) - R(answers before i)``. What came before cannot be the work of answer i and is a baseline; what comes
  after may be. This is the unbiased policy gradient of R(S), with less variance than paying R(S).
* "gain": ``R(answers up to i) - R(answers before i)``, what it adds to those before it. The gains add up to R(S). The
  first answer is paid as if it stood alone, under uniform weightings its scalar w* . r, and each further one what the
  ones before it left open: a greedy set, which for a submodular R(S) is within 1 - 1/e of the best (Nemhauser, Wolsey
  and Fisher, 1978). No answer is paid for making room for later ones, so it is biased against R(S).
* "shapley": the mean of its marginal contribution over all orders of the answers. The shares add up to R(S).

An answer that was begun and never closed adds nothing, under each of them.

Shape letters: P prompts, G completions a prompt, M answers a completion.
"""

from __future__ import annotations

import itertools
from math import factorial
from typing import Literal, get_args

import torch
from torch import Tensor

from vpo.objective.advantages import Scale, score_scale
from vpo.objective.base import Objective
from vpo.objective.groups import AnswerGroups

Credit = Literal["set", "marginal", "to_go", "gain", "shapley"]
MOST_FOR_SHAPLEY = 10  # answers: all their subsets are scored


def answer_credit(objective: Objective, groups: AnswerGroups, credit: Credit) -> Tensor:
    """Credit of each answer, in the unit of the objective's scores.

    Args:
        objective: One that scores sets.
        groups: The answers.
        credit: "marginal", "to_go", "gain" or "shapley"; "set" gives every answer its set's score.

    Returns:
        (P, G, M), 0 where there is no answer.

    Raises:
        ValueError: ``credit`` is unknown, or there are too many answers for "shapley".
    """
    mask = groups.mask
    num_answers = mask.shape[-1]
    whole = objective.scores(groups)
    parts = []
    if credit == "shapley":
        parts = _shapley(objective, groups)
    for index in range(num_answers):
        if credit == "set":
            parts.append(whole)
        elif credit == "marginal":
            parts.append(whole - objective.scores(groups, _without(mask, slice(index, index + 1))))
        elif credit == "to_go":
            parts.append(whole - objective.scores(groups, _without(mask, slice(index, None))))
        elif credit == "gain":
            upto = objective.scores(groups, _without(mask, slice(index + 1, None)))
            parts.append(upto - objective.scores(groups, _without(mask, slice(index, None))))
        elif credit != "shapley":
            raise ValueError(f"credit is {credit!r}: expected one of {', '.join(get_args(Credit))}.")
    if not parts:
        return groups.rewards.new_zeros(mask.shape)
    return torch.where(mask, torch.stack(parts, dim=-1), 0.0)


def credit_advantages(
    credit: Tensor, mask: Tensor, scores: Tensor, scale: Scale = "group", eps: float = 1e-4
) -> Tensor:
    """Advantages of single answers, in the unit of the advantages of their sets.

    The baseline of answer i is the mean credit of the i-th answers of its group. The divisor is that of the sets'
    scores, so that an answer's advantage and its set's may stand next to each other in one completion; or the standard
    deviation of the credits about their baselines where that is larger, as sets may score alike for different reasons.

    Args:
        credit: (P, G, M) as from `answer_credit`.
        mask: (P, G, M) answers that are paid: those that exist, and those that were begun, whose credit is 0.
        scores: (P, G) the sets' scores.
        scale: As for `group_advantages`.
        eps: As for `group_advantages`.

    Returns:
        (P, G, M), 0 where there is no answer and where a group agrees.
    """
    kept = torch.where(mask, credit, 0.0)
    mean = kept.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    highest = credit.masked_fill(~mask, -torch.inf).amax(dim=1, keepdim=True)
    lowest = credit.masked_fill(~mask, torch.inf).amin(dim=1, keepdim=True)
    moves = mask & (highest > lowest)  # else the difference is rounding, and the divisor may be as small as eps
    centred = torch.where(moves, credit - mean, 0.0)
    divisor = score_scale(scores, scale, eps)
    if scale != "none":
        squares, members = centred.square().sum(dim=(1, 2)), mask.sum(dim=1)  # (P,) and (P, M)
        if scale == "batch":
            squares, members = squares.sum().view(1), members.sum(dim=0, keepdim=True)
        freedom = (members - 1).clamp(min=0).sum(dim=1)
        spread = (squares / freedom.clamp(min=1)).sqrt().unsqueeze(1) + eps
        divisor = torch.maximum(divisor, spread)
    return centred / divisor.unsqueeze(-1)


def _without(mask: Tensor, places: slice) -> Tensor:
    fewer = mask.clone()
    fewer[..., places] = False
    return fewer


def _shapley(objective: Objective, groups: AnswerGroups) -> list[Tensor]:
    """M tensors (P, G). A missing answer changes no score, so it may stand in every subset."""
    size = groups.mask.shape[-1]
    if size > MOST_FOR_SHAPLEY:
        raise ValueError(
            f"Shapley values of {size} answers: expected at most {MOST_FOR_SHAPLEY}, as all their subsets are scored. "
            "Use 'marginal' or 'to_go'."
        )
    value: dict[frozenset[int], Tensor] = {}
    for chosen in itertools.product([False, True], repeat=size):
        subset = frozenset(index for index, here in enumerate(chosen) if here)
        value[subset] = objective.scores(groups, groups.mask & torch.tensor(chosen, device=groups.mask.device))
    shares = []
    for index in range(size):
        share = torch.zeros_like(value[frozenset()])
        for subset, score in value.items():
            if index not in subset:
                weight = factorial(len(subset)) * factorial(size - len(subset) - 1) / factorial(size)
                share = share + weight * (value[subset | {index}] - score)
        shares.append(share)
    return shares
