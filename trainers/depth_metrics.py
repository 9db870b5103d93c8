"""What a trainer logs of the depths of a looped policy.

Shape letters: B completions of this process, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.depth_recorder import SampledDepths
from vpo.looped import DepthPolicy, HaltReason


@dataclass
class DepthMetrics:
    """Sums of one process; :meth:`reduce` makes means over all of them.

    Args:
        sums: By name, (sum, count).
    """

    sums: dict[str, tuple[Tensor, Tensor]]

    def reduce(self, gather: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means over all processes; ``gather`` joins (1, N, 2) tensors of all along the first dimension."""
        table = torch.stack([torch.stack([total, count]) for total, count in self.sums.values()])[None]
        totals = gather(table).sum(0)
        means = totals[:, 0] / totals[:, 1].clamp(min=1)
        return dict(zip(self.sums, means.tolist(), strict=True))


def depth_metrics(sampled: SampledDepths, completion_mask: Tensor, prompt_mask: Tensor) -> DepthMetrics:
    """Metrics of one generation batch.

    Args:
        sampled: The record.
        completion_mask: (B, C or wider) real completion tokens.
        prompt_mask: (B, P).

    Returns:
        ``loops/mean_depth``, ``loops/cap_rate`` (share of tokens that the cap stopped) and ``loops/residual`` (relative
        change in the last loop) of the passes that completion tokens were drawn from; ``loops/prompt_depth``.
    """
    trace, length = sampled.trace, sampled.logps.shape[1]
    drawn = completion_mask[:, :length].float()
    prompt = prompt_mask.float()
    of = sampled.of_completion
    capped = (of(trace.reason) == HaltReason.CAP).float()

    def over(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return (values.nan_to_num() * mask).sum(), mask.sum()

    return DepthMetrics(
        {
            "loops/mean_depth": over(of(trace.depth).float(), drawn),
            "loops/cap_rate": over(capped, drawn),
            "loops/residual": over(of(trace.residual), drawn),
            "loops/prompt_depth": over(trace.depth[:, : prompt.shape[1]].float(), prompt),
        }
    )


@dataclass
class DriftProbe:
    """A few rollouts kept until the weights have changed, to see how many depths would be others now.

    Args:
        ids: (B, P + C) tokens.
        mask: (B, P + C) real ones.
        depths: (B, P + C) depths at sampling.
        fed: (B, P + C) tokens whose depths were recorded: all real ones but each completion's last.
        policy: The depth policy that they were sampled with.
    """

    ids: Tensor
    mask: Tensor
    depths: Tensor
    fed: Tensor
    policy: DepthPolicy

    @staticmethod
    def of(batch: Mapping[str, Any], policy: DepthPolicy, rows: int) -> DriftProbe:
        """The first ``rows`` rollouts of a generation batch that ``policy`` sampled."""
        prompt, completion = batch["prompt_mask"][:rows], batch["completion_mask"][:rows]
        mask = torch.cat([prompt, completion], dim=1)
        after = torch.cat([completion[:, 1:], torch.zeros_like(completion[:, :1])], dim=1)
        return DriftProbe(
            torch.cat([batch["prompt_ids"][:rows], batch["completion_ids"][:rows]], dim=1),
            mask,
            batch["loop_depths"][:rows],
            torch.cat([prompt, after], dim=1).bool(),
            policy,
        )

    @torch.no_grad()
    def measure(self, model: Any) -> tuple[float, float]:
        """(tokens that ``model`` would now give another depth, tokens)."""
        was_training = model.training
        model.eval()
        try:
            inputs = {"input_ids": self.ids, "attention_mask": self.mask, "use_cache": False, "logits_to_keep": 1}
            live = model(**inputs, depth_policy=self.policy).loop_depths
        finally:
            model.train(was_training)
        return float(((live != self.depths) & self.fed).sum()), float(self.fed.sum())
