"""What diversity terms read beside rewards: which answers are the same, and how likely a completion was.

Shape letters: B completions of this process, N of all processes, M answers a completion.
"""

from __future__ import annotations

from collections.abc import Sequence
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
def mean_logps(trainer: GRPOTrainer, output: dict[str, Any], lengths: Sequence[int]) -> Tensor:
    """(N,) mean log-probability of each completion's tokens under the policy that sampled it.

    Args:
        trainer: The trainer.
        output: One generation batch, as TRL hands it to the loss.
        lengths: Tokens of each of the B completions. (TRL's mask is 0 where a truncated one is left out of the loss.)
    """
    ids = output["completion_ids"]
    place = torch.arange(ids.shape[1], device=ids.device)
    mask = (place < torch.tensor(list(lengths), device=ids.device).unsqueeze(1)).to(output["completion_mask"].dtype)
    logps = next((output[key] for key in _SAMPLED if output.get(key) is not None), None)
    if logps is None:  # TRL leaves them to the loss as long as it makes one update of each batch
        ids = torch.cat([output["prompt_ids"], ids], dim=1)
        attention = torch.cat([output["prompt_mask"], mask], dim=1)
        batch_size = trainer.args.per_device_train_batch_size
        logps = trainer._get_per_token_logps_and_entropies(trainer.model, ids, attention, mask.shape[1], batch_size)[0]
    known = mask.bool() & ~logps.isnan()  # vLLM gives NaN where it could not score a token
    mean = torch.where(known, logps, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)
    return gather(mean.float())
