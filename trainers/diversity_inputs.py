"""What diversity terms read beside rewards: which answers are the same, and how likely a completion was.

Shape letters: B completions of this process, N of all processes, M answers a completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather
from torch import Tensor

from vpo.rewards import VectorReward
from vpo.weightings import prompt_key

if TYPE_CHECKING:
    from trl import GRPOTrainer

_SAMPLED = ("sampled_logps", "sampling_per_token_logps", "old_per_token_logps")  # the best first


def answer_labels(rewards: VectorReward, mask: Tensor) -> Tensor:
    """(N, M) hash of each answer's text, 0 where there is none; ``mask`` is (B, M)."""
    last = rewards.adapters[0].last
    assert last is not None  # it was called on this batch
    labels = torch.zeros(mask.shape, dtype=torch.int64)
    for row, found in enumerate(last.answer_sets):
        for place, answer in enumerate(found.answers):
            labels[row, place] = prompt_key(answer)
    return gather(labels.to(mask.device))


@torch.no_grad()
def mean_logps(trainer: GRPOTrainer, output: dict[str, Any]) -> Tensor:
    """(N,) mean log-probability of each completion's tokens under the policy that sampled it.

    Args:
        trainer: The trainer.
        output: One generation batch, as TRL hands it to the loss.
    """
    mask = output["completion_mask"]
    logps = next((output[key] for key in _SAMPLED if output.get(key) is not None), None)
    if logps is None:  # TRL leaves them to the loss as long as it makes one update of each batch
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        attention = torch.cat([output["prompt_mask"], mask], dim=1)
        batch_size = trainer.args.per_device_train_batch_size
        logps = trainer._get_per_token_logps_and_entropies(trainer.model, ids, attention, mask.shape[1], batch_size)[0]
    mean = (logps.nan_to_num() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return gather(mean.float())
