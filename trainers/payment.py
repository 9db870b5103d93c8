"""What a run pays for: from the reward vectors of all processes to the advantages of completions and answers.

Shape letters: N completions of all processes, P prompts, G in a group, M answers a completion, D components, K
weightings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.vpo_config import VPOConfig
from vpo.objective import AnswerGroups, answer_credit, credit_advantages
from vpo.rewards import AnswerReward
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
        applies: Tensor | None = None,
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
            applies: (P, D) bool, components that each prompt has; None for all of them. Weightings of a prompt are
                drawn in as many dimensions as it has components.

        Returns:
            Groups whose weightings depend on the run's seed, ``step`` and the prompt, not on the number of processes.
        """
        _, answers, dim = rewards.shape
        weights = concentration = None
        if self.objective.uses_drawn_weightings:
            firsts = keys[::group_size].tolist()
            centers = self._centers(w_star, applies, len(firsts))
            if self.args.weighting_method == "exact":
                assert isinstance(self.weighting, Dirichlet)  # the settings were checked
                if dim != 2:
                    raise ValueError(
                        f"weighting_method='exact' with {dim} reward components: expected 2. Use 'sobol', whose draws "
                        "have the least variance."
                    )
                parameters = [torch.from_numpy(self.weighting.concentration(dim, center)) for center in centers]
                concentration = torch.stack(parameters).to(rewards)
            else:
                drawn = [
                    self.weighting.draw(
                        self.args.num_weightings, dim, weighting_seed(self.args.seed, step, key), center
                    )
                    for key, center in zip(firsts, centers, strict=True)
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
            applies,
        )

    def _centers(self, w_star: Tensor, applies: Tensor | None, prompts: int) -> list[list[float] | None]:
        """What each prompt's mean weighting is proportional to; None for all components alike."""
        by_w_star = self.args.weighting_center == "w_star"
        if applies is None:
            return [w_star.tolist() if by_w_star else None] * prompts
        present = applies.double().cpu()
        present[~applies.any(dim=1).cpu()] = 1.0  # no component, no reward: any weighting will do
        centers = present * w_star.double().cpu() if by_w_star else present
        centers = torch.where(centers.any(dim=1, keepdim=True), centers, present)  # what w* knows does not apply here
        return [row if min(row) < max(row) else None for row in centers.tolist()]

    def pay(self, groups: AnswerGroups, unfinished: Tensor | None = None) -> Paid:
        """Scores and advantages; 0 for a prompt that no component applies to.

        Args:
            groups: What is paid for.
            unfinished: (N, M) answers that were begun and never closed. Where answers are paid by themselves, such a
                one is an answer that adds nothing: paid its set's score, it would do better than a weak one, and a
                policy under a length limit would learn not to close.
        """
        scale = self.args.scale_rewards
        judged = torch.ones_like(groups.mask[:, :1, 0]) if groups.applies is None else groups.applies.any(1, True)
        own = torch.where(judged, self.objective.scores(groups), 0.0)
        scores = own if self.diversity is None else self.diversity.shape(own, groups)
        advantages = torch.where(judged, self.objective.advantages(groups, scores, scale), 0.0)
        answers = None
        if self.args.answer_credit != "set":
            credit = answer_credit(self.objective, groups, self.args.answer_credit)
            share = self.args.answer_credit_share
            given = groups.mask if unfinished is None else groups.mask | unfinished.view_as(groups.mask)
            single = torch.where(judged[..., None], credit_advantages(credit, given, own, scale), 0.0)
            answers = share * single + (1 - share) * advantages.unsqueeze(-1)
            answers = answers.flatten(0, 1)
        return Paid(scores.flatten(), advantages.flatten(), answers)


def deployment_weights(
    given: Sequence[float] | None, num_components: int, by_function: Sequence[tuple[float, AnswerReward]]
) -> Tensor:
    """(D,) w*: what was given by component, or each function's weight in equal shares.

    Args:
        given: ``VPOConfig.component_weights``.
        num_components: D.
        by_function: Weight and adapter of each reward function.

    Raises:
        ValueError: ``given`` has another length than the reward vectors.
    """
    if given is not None:
        if len(given) != num_components:
            names = [name for _, adapter in by_function for name in adapter.components or ()]
            raise ValueError(
                f"component_weights has {len(given)} entries, the reward vectors have {num_components} components "
                f"{names}: give one weight for each."
            )
        return torch.tensor(given)
    shares: list[float] = []
    for weight, adapter in by_function:
        count = len(adapter.components or ("unknown",))
        shares += [weight / count] * count
    return torch.tensor(shares)
