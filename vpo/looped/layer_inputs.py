"""What decoder layers are called with beside the hidden state, and the part of it that belongs to some of the tokens.

Shape letters: B sequences, T tokens of this pass, S tokens that are seen; R, C as in :mod:`vpo.looped.active`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.masking_utils import create_causal_mask

from vpo.looped.active import Active


@dataclass
class LayerInputs:
    """What every decoder layer is called with beside the hidden state.

    Args:
        mask: Attention mask as the attention implementation wants it, or None.
        position_ids: (B or 1, T).
        embeddings: Rotary cosines and sines, (B or 1, T, D) each.
        past: Tokens in the cache.
        others: Further keyword arguments.
    """

    mask: Any
    position_ids: Tensor
    embeddings: Any
    past: int
    others: dict[str, Any]

    @staticmethod
    def prepare(
        config: PreTrainedConfig,
        rotary: Callable[..., Any],
        embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: Cache | None,
        needs_positions: bool,
    ) -> LayerInputs:
        """The inputs of one forward pass.

        Args:
            config: Of the layers.
            rotary: Rotary embedding of positions.
            embeds: (B, T, H).
            attention_mask: (B, past + T), or four-dimensional as the attention implementation wants it, or None.
            position_ids: (B, T); None counts them over the real tokens.
            cache: Earlier tokens, or None.
            needs_positions: Whether a wrong count would matter beyond the rotary embedding.

        Raises:
            ValueError: The positions cannot be counted.
        """
        past = cache.get_seq_length() if cache is not None else 0
        if position_ids is None:
            if needs_positions and attention_mask is not None and attention_mask.ndim != 2:
                raise ValueError(
                    f"the attention mask has {attention_mask.ndim} dimensions, from which positions cannot be counted: "
                    "pass position_ids with it, or a (B, T) mask."
                )
            position_ids = count_positions(attention_mask, past, embeds)
        mask = create_causal_mask(
            config=config,
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            past_key_values=cache,
            position_ids=position_ids,
        )
        return LayerInputs(mask, position_ids, rotary(embeds, position_ids=position_ids), past, {})

    def keywords(self) -> dict[str, Any]:
        """As keyword arguments of a layer."""
        return {
            "attention_mask": self.mask,
            "position_ids": self.position_ids,
            "position_embeddings": self.embeddings,
            **self.others,
        }

    def of(self, active: Active, shape: tuple[int, int], dtype: torch.dtype, attention: str) -> LayerInputs:
        """The inputs of the computed tokens alone; ``shape`` is (B, T)."""
        if active.rows is None and active.columns is None:
            return self

        def part(full: Tensor) -> Tensor:
            return active.take(full.expand(*shape, *full.shape[2:]))

        return LayerInputs(
            self._mask(active, shape, dtype, attention),
            part(self.position_ids),
            tuple(part(each) for each in self.embeddings),
            self.past,
            self.others,
        )

    def _mask(self, active: Active, shape: tuple[int, int], dtype: torch.dtype, attention: str) -> Any:
        batch, length = shape
        if self.mask is None:
            if active.columns is None:
                return None  # whole rows: what holds for all of them holds for some
            # A plain causal mask, which sdpa was to make for itself; it cannot for a selection of the tokens.
            seen = torch.arange(self.past + length, device=self.position_ids.device)
            allowed = (seen <= (active.columns + self.past).unsqueeze(-1)).unsqueeze(1)  # (R, 1, C, S)
            if attention == "eager":
                return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
            return allowed
        mask = self.mask.expand(batch, *self.mask.shape[1:])
        mask = mask if active.rows is None else mask.index_select(0, active.rows)
        if active.columns is None:
            return mask
        index = active.columns[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[3])
        return mask.gather(2, index)


def real_tokens(attention_mask: Tensor | None, embeds: Tensor) -> Tensor:
    """(B, T) bool; what a mask of more than two dimensions says of padding is not known."""
    batch, length = embeds.shape[:2]
    if attention_mask is not None and attention_mask.ndim == 2:
        return attention_mask[:, -length:].bool()
    return torch.ones(batch, length, dtype=torch.bool, device=embeds.device)


def count_positions(attention_mask: Tensor | None, past: int, embeds: Tensor) -> Tensor:
    """(B, T) positions counted over real tokens, so that left padding shifts nothing."""
    length = embeds.shape[1]
    if attention_mask is not None and attention_mask.ndim == 2:
        return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
    return (torch.arange(length, device=embeds.device) + past).unsqueeze(0)
