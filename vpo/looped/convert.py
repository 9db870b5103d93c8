"""Conversion: a pretrained causal language model becomes a looped one, with the layers it has.

The layers are divided into prelude, core and coda, and their weights go into the same transformers layers under our
loop; no modelling file is copied. The looped model computes what its source computes: at one loop under every
injection, and at any number of loops as the retention goes to 0. Every conversion is checked for the former on the
spot, so a family whose forward does more than embed, run its layers, norm and project is refused instead of converted
wrongly. Mixtures of experts convert too; a load-balancing loss is not computed for them afterwards.

After 2511.07384 (retrofitted recurrence); unlike there, the state starts as the prelude's output, so nothing is random
and nothing is broken before training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from vpo.looped.config import RESCALING, LoopedConfig
from vpo.looped.depth import DepthPolicy
from vpo.looped.injection import INJECTIONS
from vpo.looped.model import LoopedForCausalLM
from vpo.looped.parts import Part, Parts, read_parts
from vpo.looped.pretrained import looped_policy

_BACKBONE = ("embed_tokens", "layers", "norm", "rotary_emb")
# Settings with one entry a layer.
_BY_LAYER = ("layer_types", "no_rope_layers", "mlp_layer_types")


def convert(
    model: PreTrainedModel,
    prelude: Part,
    core: Part,
    coda: Part,
    *,
    injection: Literal["gate", "diagonal", "concat", "add", "none"] = "gate",
    retention_init: float = 0.1,
    num_loops: int | None = None,
    depth_policy: DepthPolicy | None = None,
    drop_rest: bool = False,
    scale_control: Literal["none", "match"] | None = None,
    halt_gate: bool = False,
    cache_planes: int | None = None,
) -> LoopedForCausalLM:
    """Make a looped model with the weights of a pretrained one.

    The source is left as it was, so it can teach the looped model (:class:`trainers.HealingTrainer`).

    Args:
        model: A causal language model with full attention and a bias-free head, built like Llama, SmolLM2 or Qwen.
        prelude: Layers run once before the loop: how many, or which; see :mod:`vpo.looped.parts`.
        core: Layers of the loop.
        coda: Layers run once after it.
        injection: How the prelude's output enters every loop; see :mod:`vpo.looped.injection`.
        retention_init: Share of the state that one injection keeps before training. Small values keep the model close
            to its source at every depth.
        num_loops: Loops when nothing else is asked for. With the default of 1 the model *is* its source until it has
            been healed; set ``model.depth_policy`` then.
        depth_policy: The model's own depth policy instead of a fixed ``num_loops``.
        drop_rest: Leave out the layers that are in no part.
        scale_control: What bounds the state; by default what suits the injection.
        halt_gate: Give the model a gate for policies that learn when to stop.
        cache_planes: Most versions of a token's keys and values; None for one a loop.

    Returns:
        The looped model on the source's device, in its dtype, with its generation configuration, in evaluation mode.

    Raises:
        ValueError: The parts make no sense, the model is of a kind that cannot be looped, or its forward does
            something that the looped model would not.
    """
    backbone = _check_source(model)
    if injection not in INJECTIONS:
        raise ValueError(f"injection is {injection!r}: expected one of {', '.join(INJECTIONS)}.")
    if scale_control not in (None, "none", "match"):
        raise ValueError(
            f"scale_control is {scale_control!r}: expected 'none' or 'match', or None for what suits the injection. A "
            "norm would change the state of the first loop, and the model would no longer be its source."
        )
    parts = read_parts(prelude, core, coda, len(backbone.layers), drop_rest)
    config = LoopedConfig(
        layer_config=_layer_config(model.config, parts),
        prelude_layers=len(parts.prelude),
        core_layers=len(parts.core),
        coda_layers=len(parts.coda),
        num_loops=1 if num_loops is None and depth_policy is None else num_loops,
        injection=injection,
        retention_init=retention_init,
        scale_control=scale_control,
        depth_policy=depth_policy,
        halt_gate=halt_gate,
        cache_planes=cache_planes,
        use_cache=getattr(model.config, "use_cache", True),
    )
    with no_init_weights():
        looped = LoopedForCausalLM._from_config(
            config, dtype=model.dtype, attn_implementation=model.config._attn_implementation
        )
    _copy_weights(model, backbone, looped, parts)
    looped.generation_config = copy.deepcopy(model.generation_config)
    looped = looped.to(model.device).eval()
    gap, size = logit_gap(model, looped, parts)
    tolerance = 1e-4 if model.dtype in (torch.float32, torch.float64) else 2e-2
    if not gap <= tolerance * max(1.0, size):
        raise ValueError(
            f"converted, {type(model).__name__} gives other logits: they differ by {gap:.3g} at one loop, where "
            f"{tolerance * max(1.0, size):.1g} was expected at most. Its forward does something between or beside its "
            "layers (a scaled embedding, say) that a looped model leaves out. Use a model built like Llama or Qwen."
        )
    return looped


@torch.no_grad()
def logit_gap(
    source: PreTrainedModel, looped: LoopedForCausalLM, parts: Parts | None = None, num_loops: int = 1
) -> tuple[float, float]:
    """How far the looped model's logits are from its source's, on random tokens.

    Args:
        source: The model that was converted.
        looped: What it became.
        parts: If given, leave the source's layers that are in none of them out: then the gap is 0 at one loop, up to
            rounding, for a model that lost layers too.
        num_loops: Loops of the looped model.

    Returns:
        The largest absolute difference, and the source's largest absolute logit, to judge it by.
    """
    ids = probe_tokens(source)
    was_training = source.training, looped.training
    source.eval(), looped.eval()
    with _comparable(source.base_model, None if parts is None else parts.kept, looped.model.rotary_emb):
        expected = source(ids, use_cache=False).logits.float()
    actual = looped(ids, num_loops=num_loops, use_cache=False).logits.float()
    source.train(was_training[0]), looped.train(was_training[1])
    return (actual - expected).abs().max().item(), expected.abs().max().item()


def probe_tokens(model: PreTrainedModel) -> Tensor:
    """(2, 16) random tokens of the model's vocabulary, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.config.vocab_size, (2, 16), generator=generator).to(model.device)


@contextmanager
def _comparable(backbone: Any, kept: tuple[int, ...] | None, rotary: nn.Module) -> Iterator[None]:
    """Run the backbone with some of its layers, and with rotary frequencies in full precision.

    ``model.to(torch.bfloat16)`` rounds the frequencies; loading in bfloat16 does not, nor does the looped model.
    """
    layers, own = backbone.layers, backbone.rotary_emb
    if kept is not None:
        backbone.layers = nn.ModuleList([layers[i] for i in kept])
    if getattr(own, "inv_freq", None) is not None and own.inv_freq.dtype in (torch.float16, torch.bfloat16):
        backbone.rotary_emb = rotary
    try:
        yield
    finally:
        backbone.layers, backbone.rotary_emb = layers, own


def _layer_config(config: PreTrainedConfig, parts: Parts) -> PreTrainedConfig:
    """The source's configuration, for the layers that are kept."""
    settings = config.to_dict()
    for name in _BY_LAYER:
        if isinstance(settings.get(name), list) and len(settings[name]) == config.num_hidden_layers:
            settings[name] = [settings[name][i] for i in parts.kept]
    settings["num_hidden_layers"] = len(parts.kept)
    for name in ("architectures", "auto_map", "_name_or_path", "transformers_version"):
        settings.pop(name, None)
    return type(config).from_dict(settings)


@torch.no_grad()
def _copy_weights(source: PreTrainedModel, backbone: Any, looped: LoopedForCausalLM, parts: Parts) -> None:
    target = looped.model
    target.embed_tokens.load_state_dict(backbone.embed_tokens.state_dict())
    target.norm.load_state_dict(backbone.norm.state_dict())
    for i, layer in zip(parts.kept, target.layers, strict=True):
        layer.load_state_dict(backbone.layers[i].state_dict())
    if looped.config.tie_word_embeddings:
        looped.tie_weights()
    else:
        looped.lm_head.load_state_dict(source.get_output_embeddings().state_dict())
    for fresh in (target.injection, target.scale, target.halt_gate):  # no_init_weights left them as they were allocated
        if fresh is not None:
            target._init_weights(fresh)


def _check_source(model: Any) -> Any:
    """Refuse what cannot be looped; return the backbone."""
    name = type(model).__name__
    if hasattr(model, "peft_config"):
        raise ValueError(f"{name} carries adapters: merge them first, with model.merge_and_unload().")
    if not isinstance(model, PreTrainedModel):
        raise ValueError(f"got a {name}: expected a transformers causal language model, from AutoModelForCausalLM.")
    if looped_policy(model) is not None:
        raise ValueError(f"{name} is looped already: convert the model that it was made from.")
    if getattr(model, "hf_quantizer", None) is not None or getattr(model.config, "quantization_config", None):
        raise ValueError(f"{name} is quantized, and looping needs plain weights: load it without, or dequantize it.")
    backbone = model.base_model
    missing = [part for part in _BACKBONE if not hasattr(backbone, part)]
    if backbone is model or missing:
        raise ValueError(
            f"{name} has no backbone of {', '.join(_BACKBONE)} (missing: {', '.join(missing) or 'the backbone'}): "
            "expected a decoder built like Llama, SmolLM2 or Qwen."
        )
    extra = sorted({key.split(".")[0] for key, _ in backbone.named_parameters()} - {*_BACKBONE})
    if extra:
        raise ValueError(
            f"{type(backbone).__name__} has parameters in {', '.join(extra)}, which a loop has no place for."
        )
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or getattr(head, "bias", None) is not None:
        raise ValueError(f"the head of {name} is {head}: expected a Linear without bias, as Llama and Qwen have it.")
    _check_settings(model)
    return backbone


def _check_settings(model: PreTrainedModel) -> None:
    name, config = type(model).__name__, model.config
    for setting in RESCALING:
        value = getattr(config, setting, None)
        if value not in (None, 1, 1.0):
            raise ValueError(
                f"{name} has {setting}={value}: it rescales embeddings or logits outside its layers, which a looped "
                "model does not. Choose a model without, such as Llama, SmolLM2 or Qwen."
            )
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    if kinds - {"full_attention"} or (window is not None and not kinds):
        found = f"layers of type {sorted(kinds)}" if kinds else f"a sliding window of {window} tokens"
        raise ValueError(
            f"{name} has {found}: only full attention can be looped so far. If the window is longer than your "
            "sequences, load the model with sliding_window=None; else choose another one."
        )
    dtypes = sorted({str(p.dtype) for p in model.parameters()})
    devices = sorted({str(p.device) for p in model.parameters()})
    if len(dtypes) > 1 or len(devices) > 1 or devices == ["meta"]:
        raise ValueError(
            f"{name} has weights in {', '.join(dtypes)} on {', '.join(devices)}: expected one dtype and one real "
            "device. Load it with dtype=... and without device_map."
        )
