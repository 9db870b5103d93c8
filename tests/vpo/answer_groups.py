"""Random answer groups for the tests of objectives, and slow oracles in plain Python."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from vpo.objective import AnswerGroups
from vpo.weightings import Dirichlet


@st.composite
def answer_groups(draw, most_answers: int = 4, most_members: int = 5, missing: bool = True, dim: int | None = None):
    """float64 `AnswerGroups` with drawn weightings, rewards in [0, 1] with ties, and some answers missing."""
    prompts, members, answers = draw(st.integers(1, 3)), draw(st.integers(1, most_members)), draw(st.integers(1, 4))
    answers = min(answers, most_answers)
    dim = dim or draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rewards = torch.rand(prompts, members, answers, dim, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):
        rewards = (2 * rewards).round() / 2
    mask = torch.rand(prompts, members, answers, generator=generator) < (0.7 if missing else 2.0)
    w_star = torch.rand(dim, generator=generator, dtype=torch.float64) + 0.1
    seeds = range(prompts)
    weights = torch.stack([Dirichlet().draw(4, dim, seed) for seed in seeds]).double()
    labels = torch.randint(0, 4, mask.shape, generator=generator)
    logps = -torch.rand(prompts, members, generator=generator, dtype=torch.float64)
    return AnswerGroups(rewards, mask, w_star, weights, labels=labels, logps=logps)


def set_value(answers: list[list[float]], weights: list[list[float]]) -> float:
    """Mean over weightings of the best utility; 0 for no answer."""
    if not answers:
        return 0.0
    best = [max(sum(a * b for a, b in zip(w, r, strict=True)) for r in answers) for w in weights]
    return sum(best) / len(best)


def existing(groups: AnswerGroups, prompt: int, member: int) -> list[list[float]]:
    """Reward vectors of a completion's answers."""
    return [
        vector
        for vector, here in zip(
            groups.rewards[prompt, member].tolist(), groups.mask[prompt, member].tolist(), strict=True
        )
        if here
    ]


def by_member(groups: AnswerGroups, function) -> Tensor:
    """(P, G) tensor of ``function(prompt, member)``."""
    prompts, members = groups.rewards.shape[:2]
    return torch.tensor([[function(p, g) for g in range(members)] for p in range(prompts)], dtype=torch.float64)
