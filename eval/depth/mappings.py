"""What Huginn's and Ouro's checkpoints are made of, in the names of their own modelling code.

=================  ============================================  ==========================================
what               Huginn (2502.05171, ``RavenForCausalLM``)     Ouro (2510.25741, ``OuroForCausalLM``)
=================  ============================================  ==========================================
prelude            ``embed_inputs(ids)``                         ``model.embed_tokens(ids)``
first state        ``initialize_state(embeds)``, drawn           the embeddings
one loop           ``core_block_forward(x, embeds, ...)``        ``model.layers`` in order, then ``model.norm``
read-out           ``transformer.ln_f``, ``coda``, ``ln_f``      nothing: the state is normed already
head               ``lm_head``                                   ``lm_head``
trained depth      ``config.mean_recurrence``                    ``config.total_ut_steps``
=================  ============================================  ==========================================

Ouro's exit gate is not asked: its own code runs all loops and picks one afterwards. Checked on small modules of these
shapes, not on the published weights.

Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eval.depth.adapter import AdaptedProbe, LoopMapping
from eval.depth.own_probe import LoopedProbe
from eval.depth.probe import DepthProbe
from vpo.looped.pretrained import looped_policy


def probe_of(model: Any, seed: int = 0, trained_loops: int | None = None) -> DepthProbe:
    """The probe that fits a model: ours, Huginn's or Ouro's.

    Args:
        model: A causal language model that loops.
        seed: Of the first state, where it is drawn.
        trained_loops: Deepest loop of its training, where the checkpoint does not tell or is wrong.

    Raises:
        ValueError: None of these; or a trained depth below 1.
    """
    if trained_loops is not None and trained_loops < 1:
        raise ValueError(f"trained_loops is {trained_loops}: expected 1 or more, or None for what the model says.")
    if looped_policy(model) is not None:
        return LoopedProbe(model, trained_loops)
    if hasattr(model, "core_block_forward") and hasattr(model, "initialize_state"):
        return AdaptedProbe(huginn_mapping(model), seed, trained_loops)
    if hasattr(getattr(model, "config", None), "total_ut_steps"):
        return AdaptedProbe(ouro_mapping(model), seed, trained_loops)
    raise ValueError(
        f"{type(model).__name__} is no looped model that is known: expected ours, Huginn's (core_block_forward, "
        "initialize_state) or Ouro's (config.total_ut_steps). Describe yours by a LoopMapping and use AdaptedProbe."
    )


@dataclass(frozen=True)
class _Huginn:
    embeds: Tensor
    block: Tensor
    positions: Tensor


def huginn_mapping(model: Any) -> LoopMapping:
    """Huginn-style checkpoints: a drawn first state, ``num_steps``, a coda."""
    model.eval()
    parts = model.transformer

    def begin(ids: Tensor) -> _Huginn:
        embeds, block = model.embed_inputs(ids)
        return _Huginn(embeds, torch.as_tensor(block), model.freqs_cis[:, : ids.shape[1]])

    def start(begun: _Huginn, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # the model draws from the global generator
            torch.manual_seed(seed)
            return model.initialize_state(begun.embeds)

    def step(begun: _Huginn, state: Tensor, t: int) -> Tensor:
        block = begun.block + t * len(parts.core_block)
        made: Tensor = model.core_block_forward(
            state.to(begun.embeds.dtype), begun.embeds, begun.positions, None, None, block, t
        )[0]
        return made

    def read(begun: _Huginn, state: Tensor) -> Tensor:
        hidden = parts.ln_f(state.to(begun.embeds.dtype))
        for number, block in enumerate(parts.coda, start=1):  # negative numbers are the coda's, there
            hidden = block(hidden, begun.positions, torch.tensor(-number), None, None)
        return parts.ln_f(hidden)

    return LoopMapping(
        kind="huginn",
        begin=begin,
        start=start,
        step=step,
        read=read,
        logits=model.lm_head,
        trained_loops=int(model.config.mean_recurrence),
        setting="num_steps",
        has_random_start=True,
        notes=("Its training draws depths around the mean that stands here as the trained depth, with a heavy tail.",),
    )


@dataclass(frozen=True)
class _Ouro:
    embeds: Tensor
    inputs: dict[str, Any]


def ouro_mapping(model: Any) -> LoopMapping:
    """Ouro-style checkpoints: the whole stack repeated ``total_ut_steps`` times, its norm fed back, no injection."""
    model.eval()
    backbone = model.model

    def begin(ids: Tensor) -> _Ouro:
        embeds = backbone.embed_tokens(ids)
        places = torch.arange(ids.shape[1], device=ids.device)
        # An explicit mask: without one, not every attention implementation is causal.
        hidden = torch.full((len(places), len(places)), torch.finfo(embeds.dtype).min, device=ids.device)
        return _Ouro(
            embeds,
            {
                "attention_mask": hidden.triu(1).to(embeds.dtype)[None, None],
                "position_ids": places[None],
                "past_key_value": None,
                "use_cache": False,
                "cache_position": places,
                "position_embeddings": backbone.rotary_emb(embeds, places[None]),
            },
        )

    def step(begun: _Ouro, state: Tensor, t: int) -> Tensor:
        hidden = state.to(begun.embeds.dtype)
        for layer in backbone.layers:
            made = layer(hidden, current_ut=t, **begun.inputs)
            hidden = made[0] if isinstance(made, tuple) else made
        return backbone.norm(hidden)

    return LoopMapping(
        kind="ouro",
        begin=begin,
        start=lambda begun, seed: begun.embeds,
        step=step,
        read=lambda begun, state: state.to(begun.embeds.dtype),
        logits=model.lm_head,
        trained_loops=int(model.config.total_ut_steps),
        setting="total_ut_steps",
        notes=("Its exit gate is not asked; the depths here are those of the residual rule.",),
    )
