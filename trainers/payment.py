"""What a run pays for: from the reward vectors of all processes to the advantages of completions and answers.

Shape letters: N completions of all processes, P prompts, G in a group, M answers a completion, D components, K
weightings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.vpo_config import VPOConfig
from vpo.objective import AnswerGroups, answer_credit, credit_advantages
from vpo.weightings import Dirichlet, weighting_seed


@dataclass(frozen=True)
class Paid:
    """The outcome for one generation batch.

    Args:
        scores: (N,) under the objective, with its diversity term.
        advantages: (N,) of completions.
        answer_advantages: (N, M) of single answers; None unless the run credits them.
    """

    scores: Tensor
    advantages: Tensor
    answer_advantages: Tensor | None


class Payment:
    """Objective, weightings, diversity term and credit of a run.

    Args:
        args: The run's settings.
    """

    def __init__(self, args: VPOConfig) -> None:
        self.args = args
        self.objective = args.build_objective()
        self.weighting = args.build_weighting()
        self.diversity = args.build_diversity()

    @property
    def name(self) -> str:
        """The objective's name, and the diversity term's."""
        return self.objective.name if self.diversity is None else f"{self.objective.name}+{self.diversity.name}"

    @property
    def needs_logps(self) -> bool:
        """Whether it reads the completions' log-probabilities."""
        return self.diversity is not None and self.diversity.needs_logps

    @property
    def needs_labels(self) -> bool:
        """Whether it asks which answers are the same."""
        return self.diversity is not None and not self.diversity.needs_logps

    def groups(
        self,
        rewards: Tensor,
        mask: Tensor,
        keys: Tensor,
        w_star: Tensor,
        group_size: int,
        step: int,
        labels: Tensor | None = None,
        logps: Tensor | None = None,
    ) -> AnswerGroups:
        """Lay completions out by group, with the weightings that each group gets at this step.

        Args:
            rewards: (N, M, D) reward vectors of all processes.
            mask: (N, M) answers that exist.
            keys: (N,) prompt hash of each completion; groups stand together.
            w_star: (D,) weights of deployment.
            group_size: G.
            step: Number of the draw; the same one gives the same weightings.
            labels: (N, M) int64, or None.
            logps: (N,) mean log-probability of a completion's tokens, or None.

        Returns:
            Groups whose weightings depend on the run's seed, ``step`` and the prompt, not on the number of processes.
        """
        _, answers, dim = rewards.shape
        weights = concentration = None
        if self.objective.uses_drawn_weightings:
            center = w_star.tolist() if self.args.weighting_center == "w_star" else None
            firsts = keys[::group_size].tolist()
            if self.args.weighting_method == "exact":
                assert isinstance(self.weighting, Dirichlet)  # the settings were checked
                if dim != 2:
                    raise ValueError(
                        f"weighting_method='exact' with {dim} reward components: expected 2. Use 'sobol', whose draws "
                        "have the least variance."
                    )
                parameters = torch.from_numpy(self.weighting.concentration(dim, center)).to(rewards)
                concentration = parameters.expand(len(firsts), dim)
            else:
                drawn = [
                    self.weighting.draw(
                        self.args.num_weightings, dim, weighting_seed(self.args.seed, step, key), center
                    )
                    for key in firsts
                ]
                weights = torch.stack(drawn).to(rewards)  # (P, K, D)
        return AnswerGroups(
            rewards.view(-1, group_size, answers, dim),
            mask.view(-1, group_size, answers),
            w_star.to(rewards),
            weights,
            concentration,
            None if labels is None else labels.view(-1, group_size, answers),
            None if logps is None else logps.view(-1, group_size),
        )

    def pay(self, groups: AnswerGroups) -> Paid:
        """Scores and advantages."""
        scale = self.args.scale_rewards
        own = self.objective.scores(groups)
        scores = own if self.diversity is None else self.diversity.shape(own, groups)
        advantages = self.objective.advantages(groups, scores, scale)
        answers = None
        if self.args.answer_credit != "set":
            credit = answer_credit(self.objective, groups, self.args.answer_credit)
            share = self.args.answer_credit_share
            single = credit_advantages(credit, groups.mask, own, scale)
            answers = share * single + (1 - share) * advantages.unsqueeze(-1)
            answers = answers.flatten(0, 1)
        return Paid(scores.flatten(), advantages.flatten(), answers)
