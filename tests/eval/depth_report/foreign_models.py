"""Tiny modules of the shapes of Huginn's and Ouro's code: the names, arguments and returns that are relied on."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

WIDTH, VOCABULARY = 8, 11


class _CausalMix(nn.Module):
    """Stands for attention: each token sees the mean of what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        count = torch.arange(1, hidden.shape[1] + 1, dtype=hidden.dtype)[:, None]
        return torch.tanh(self.mix(hidden.cumsum(1) / count))


class HuginnBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.norm = _CausalMix(), nn.RMSNorm(WIDTH)
        self.seen: list[int] = []

    def forward(self, x: Tensor, freqs_cis: Tensor, step_idx: Tensor, mask=None, past_key_values=None) -> Tensor:
        assert mask is None and past_key_values is None and freqs_cis.shape[1] == x.shape[1]
        self.seen.append(int(step_idx))
        return self.norm(x + self.mix(x))


class RavenForCausalLM(nn.Module):
    """As Huginn's: prelude, adapter on (state, input), core, coda, ``ln_f`` twice, a drawn first state."""

    def __init__(self, mean_recurrence: int = 3) -> None:
        super().__init__()
        self.config = SimpleNamespace(mean_recurrence=mean_recurrence)
        blocks = lambda count: nn.ModuleList(HuginnBlock() for _ in range(count))  # noqa: E731
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCABULARY, WIDTH),
                "prelude": blocks(2),
                "adapter": nn.Linear(2 * WIDTH, WIDTH, bias=False),
                "core_block": blocks(2),
                "coda": blocks(2),
                "ln_f": nn.RMSNorm(WIDTH),
            }
        )
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.register_buffer("freqs_cis", torch.zeros(1, 64, 1, 2))

    def embed_inputs(self, input_ids: Tensor, attention_mask=None, **kwargs) -> tuple[Tensor, Tensor]:
        embeds, block_idx = self.transformer["wte"](input_ids), torch.tensor(-1)
        for block in self.transformer["prelude"]:
            block_idx += 1
            embeds = block(embeds, self.freqs_cis[:, : input_ids.shape[1]], block_idx, None, None)
        return embeds, block_idx

    def initialize_state(self, input_embeds: Tensor, scale: float = 1.0) -> Tensor:
        return scale * torch.randn_like(input_embeds)

    def core_block_forward(self, x, input_embeds, freqs_cis, mask, past_key_values, block_idx, current_step):
        block_idx = block_idx.detach().clone()
        x = self.transformer["adapter"](torch.cat([x, input_embeds], dim=-1))
        for block in self.transformer["core_block"]:
            block_idx += 1
            x = block(x, freqs_cis, block_idx, mask, past_key_values)
        return x, block_idx

    @torch.no_grad()
    def forward(self, input_ids: Tensor, num_steps: int, seed: int) -> Tensor:
        """Logits, as the original computes them."""
        embeds, block_idx = self.embed_inputs(input_ids)
        freqs = self.freqs_cis[:, : input_ids.shape[1]]
        torch.manual_seed(seed)
        x = self.initialize_state(embeds)
        for step in range(num_steps):
            x, block_idx = self.core_block_forward(x, embeds, freqs, None, None, block_idx, step)
        x, block_idx = self.transformer["ln_f"](x), torch.tensor(0)
        for block in self.transformer["coda"]:
            block_idx -= 1
            x = block(x, freqs, block_idx, None, None)
        return self.lm_head(self.transformer["ln_f"](x))


class OuroLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_value: object = None,
        use_cache: bool = False,
        cache_position: Tensor | None = None,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        current_ut: int = 0,
        **kwargs,
    ) -> Tensor:
        assert past_key_value is None and position_embeddings is not None
        length = hidden_states.shape[1]
        mask = torch.zeros(1, 1, length, length) if attention_mask is None else attention_mask
        attention = torch.softmax(mask[:, 0].expand(len(hidden_states), -1, -1), dim=-1)  # uniform where it may look
        return hidden_states + torch.tanh(self.mix(attention @ hidden_states))


class OuroForCausalLM(nn.Module):
    """As Ouro's: the whole stack repeated, its norm fed back, no injection, a gate that is not asked."""

    def __init__(self, total_ut_steps: int = 4) -> None:
        super().__init__()
        self.config = SimpleNamespace(total_ut_steps=total_ut_steps)
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.model.layers = nn.ModuleList([OuroLayer(), OuroLayer()])
        self.model.norm = nn.RMSNorm(WIDTH)
        self.model.rotary_emb = lambda hidden, positions: (positions.cos(), positions.sin())
        self.model.early_exit_gate = nn.Linear(WIDTH, 1)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    @torch.no_grad()
    def forward(self, input_ids: Tensor) -> list[Tensor]:
        """Logits after every loop, as the original computes them."""
        hidden = self.model.embed_tokens(input_ids)
        length = input_ids.shape[1]
        mask = torch.full((length, length), -1e30).triu(1)[None, None]
        found = []
        for current_ut in range(self.config.total_ut_steps):
            for layer in self.model.layers:
                hidden = layer(hidden, attention_mask=mask, position_embeddings=(hidden, hidden), current_ut=current_ut)
            hidden = self.model.norm(hidden)
            found.append(self.lm_head(hidden))
        return found
