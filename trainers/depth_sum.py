"""Log-probabilities summed over the loops (RLTT, arXiv 2602.10520): every loop of a token is paid, not only its last.

RLTT pays fixed-depth models; here a token's loops are those it was sampled with. On-policy the gradient is that of
``-A * sum_t w_t log p_t(y)``. It is not the policy that was sampled from, so ratios and KL are those of the sum.

Shape letters: B sequences, T tokens, C completion tokens, V vocabulary, R loops.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vpo.looped import Replay


def sum_over_loops(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    logits_to_keep: int,
    replay: Replay,
    temperature: float,
    power: float,
    policy: Any,
) -> tuple[Tensor, Tensor, None]:
    """Weighted log-probabilities of the last ``logits_to_keep`` tokens.

    Args:
        model: The model as it is trained, wrapped or not.
        input_ids: (B, T).
        attention_mask: (B, T).
        logits_to_keep: C.
        replay: Depths of the tokens.
        temperature: Logits are divided by it.
        power: Loop t of a token has weight proportional to ``t ** power``.
        policy: The looped model inside ``model``.

    Returns:
        (B, C) weighted log-probabilities, (B, C) entropies after the last loop, and None.
    """
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "use_cache": False, "logits_to_keep": 1}
    output = model(**inputs, depth_policy=replay, output_loop_states=True)
    labels = input_ids[:, -logits_to_keep:]
    window = slice(-logits_to_keep - 1, -1)  # inputs whose logits predict the labels
    depths = replay.depths[:, window].to(labels.device)
    weight = policy.lm_head.weight
    if hasattr(weight, "full_tensor"):  # FSDP2 holds a shard
        weight = weight.full_tensor()
    total, norm = torch.zeros(labels.shape, device=labels.device), torch.zeros(labels.shape, device=labels.device)
    entropy = torch.zeros_like(total)
    final = output.loop_hidden_states[-1]
    for index, hidden in enumerate(output.loop_hidden_states):
        # After a token's own last loop it is read out among neighbours that have finished too, as it was sampled.
        hidden = torch.where((depths == index + 1).unsqueeze(-1), final[:, window], hidden[:, window])
        # A loop's (B, C, V) logits are made again in the backward pass, instead of being kept for all R loops.
        logps, entropies = checkpoint(_read, hidden, weight, labels, temperature, use_reentrant=False)
        share = (index + 1.0) ** power * (depths > index)
        total, norm = total + share * logps, norm + share
        entropy = torch.where(depths == index + 1, entropies.detach(), entropy)
    return total / norm, entropy, None


def _read(hidden: Tensor, weight: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logps = (torch.nn.functional.linear(hidden.to(weight.dtype), weight).float() / temperature).log_softmax(-1)
    chosen = logps.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return chosen, -(logps.exp() * logps).sum(-1)
