"""A looped policy as a vLLM model: vLLM's layers, its paged cache with one plane a loop, our depth policies.

Shape letters: N tokens of a step, all sequences one after another; H width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding
from vllm.model_executor.models.llama import LlamaModel
from vllm.model_executor.models.utils import AutoWeightsLoader

from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthPolicy, DepthTrace, FixedDepth
from vpo.looped.halt_gate import HaltGate
from vpo.looped.injection import INJECTIONS
from vpo.looped.scale import build_scale_control
from vpo.looped.vllm_plugin.checks import policy_of
from vpo.looped.vllm_plugin.depth_record import DepthRecord
from vpo.looped.vllm_plugin.layers import another_plane, decoder_layer
from vpo.looped.vllm_plugin.loop import StepParts, run_loop
from vpo.looped.vllm_plugin.plane_attention import CurrentPass, PlaneAttention


class VLLMLoopedModel(nn.Module):
    """The backbone; its weights have the names of :class:`vpo.looped.LoopedModel`'s."""

    def __init__(self, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        config: LoopedConfig = vllm_config.model_config.hf_config
        self.config = config
        self.policy: DepthPolicy = policy_of(vllm_config)
        self.embed_tokens = VocabParallelEmbedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            decoder_layer(vllm_config, config.layer_config, f"{prefix}.layers.{i}")
            for i in range(config.layer_config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, eps=config.layer_config.rms_norm_eps)
        self._add_loop(config)
        self.current = CurrentPass()
        self.planes = self._add_planes(vllm_config, prefix)
        self.record: DepthRecord | None = None  # set where depths are asked for

    def _add_loop(self, config: LoopedConfig) -> None:
        # In fp32 in an engine of any type: they act on the state, which is fp32 between the passes.
        with torch.device(self.norm.weight.device):
            self.injection = INJECTIONS[config.injection](config.hidden_size, config.retention_init).float()
            self.scale = build_scale_control(config.scale_control or "none", config.hidden_size).float()
            self.halt_gate = HaltGate(config.hidden_size).float() if config.halt_gate else None
        learned = config.learned_positions
        self.positions = nn.Embedding(learned, config.hidden_size) if learned else None

    def _add_planes(self, vllm_config: VllmConfig, prefix: str) -> list[PlaneAttention]:
        """Give every core layer as many planes as its tokens can have versions."""
        config, cap = self.config, self.policy.cap
        count = min(cap, config.cache_planes or cap)
        planes = []
        for place, layer in enumerate(self.core):
            attn = layer.self_attn.attn
            # vLLM finds a cache by the one number in its name, so further planes count on after the last layer.
            first = len(self.layers) + place
            names = [f"{prefix}.layers.{first + t * config.core_layers}.self_attn.attn" for t in range(count - 1)]
            others = [another_plane(attn, vllm_config, name) for name in names]
            layer.self_attn.attn = PlaneAttention([attn, *others], self.current)
            planes.append(layer.self_attn.attn)
        return planes

    @property
    def core(self) -> Sequence[Any]:
        """The layers that are looped."""
        start = self.config.prelude_layers
        return list(self.layers)[start : start + self.config.core_layers]

    def forward(self, input_ids: Tensor | None, positions: Tensor, inputs_embeds: Tensor | None = None) -> Tensor:
        """(N, H) normed output."""
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if self.positions is not None:
            # Beyond the last one there is only the padding of a step: checks.py compares with max_model_len.
            hidden = hidden + self.positions(positions.clamp(max=self.positions.num_embeddings - 1))
        start, end = self.config.prelude_layers, self.config.prelude_layers + self.config.core_layers
        layers = list(self.layers)
        signal = _through(layers[:start], positions, hidden)
        is_dry = get_forward_context().attn_metadata is None  # vLLM measures memory: the longest way there is

        def core(entering: Tensor, index: int, active: Tensor | None) -> Tensor:
            self.current.index, self.current.active = index, active
            return _through(layers[start:end], positions, entering)

        can_end = not is_dry and all(plane.writes_alone for plane in self.planes)
        gate = None if self.halt_gate is None else self._gate_logits
        parts = StepParts(core, self.injection, self.scale, gate, can_end)
        state, trace, passes = run_loop(parts, signal, self.policy)
        self._finish(trace, passes, positions, is_dry)
        return self.norm(_through(layers[end:], positions, state))

    def _finish(self, trace: DepthTrace, passes: int, positions: Tensor, is_dry: bool) -> None:
        for plane in self.planes:
            plane.finish(len(plane.planes) if is_dry else passes)
        if self.record is not None and not is_dry:
            self.record.see(trace, positions, self.planes[0].planes[0].layer_name)

    def _gate_logits(self, state: Tensor) -> Tensor:
        assert self.halt_gate is not None
        return self.halt_gate(state).squeeze(-1)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Take in weights by the names of the checkpoint, all or some of them."""
        return AutoWeightsLoader(self).load_weights(weights, mapper=LlamaModel.hf_to_vllm_mapper)


class VLLMLoopedForCausalLM(nn.Module):
    """A looped policy with its head, for vLLM; the counterpart of :class:`vpo.looped.LoopedForCausalLM`.

    Args:
        vllm_config: Of the engine; the depth policy is the checkpoint's, or the one in ``hf_overrides``.
        prefix: Of the names of its parts.

    Raises:
        ValueError: vLLM cannot run this policy, or not in this way; see :mod:`vpo.looped.vllm_plugin.checks`.
    """

    hf_to_vllm_mapper = LlamaModel.hf_to_vllm_mapper
    packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: LoopedConfig = vllm_config.model_config.hf_config
        self.config = config
        self.model = VLLMLoopedModel(vllm_config, f"{prefix}.model" if prefix else "model")
        self.lm_head = ParallelLMHead(config.vocab_size, config.hidden_size, quant_config=vllm_config.quant_config)
        if config.tie_word_embeddings:
            self.lm_head = self.lm_head.tie_weights(self.model.embed_tokens)
        self.logits_processor = LogitsProcessor(config.vocab_size)

    @property
    def depth_policy(self) -> DepthPolicy:
        """Decides the depths of everything that this engine samples."""
        return self.model.policy

    @property
    def is_adaptive(self) -> bool:
        """Whether tokens may differ in depth."""
        return not isinstance(self.depth_policy, FixedDepth)

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        """(N,) -> (N, H)."""
        return self.model.embed_tokens(input_ids)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """(N, H) normed output of the backbone."""
        return self.model(input_ids, positions, inputs_embeds)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """(n, H) -> (n, V)."""
        return self.logits_processor(self.lm_head, hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Take in weights by the names of the checkpoint, all or some of them (a trainer sends them one by one)."""
        return AutoWeightsLoader(self).load_weights(weights)


def _through(layers: Sequence[Any], positions: Tensor, hidden: Tensor) -> Tensor:
    """(N, H) -> (N, H) through decoder layers, which carry their residual beside the hidden state."""
    residual: Tensor | None = None
    for layer in layers:
        hidden, residual = layer(positions, hidden, residual)
    return hidden if residual is None else hidden + residual
