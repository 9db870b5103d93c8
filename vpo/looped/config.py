"""Configuration of a looped policy: an ordinary decoder configuration plus how its layers are looped.

The decoder layers themselves are described by ``layer_config``, the configuration of any transformers decoder whose
backbone is ``embed_tokens / layers / norm / rotary_emb`` (Llama, SmolLM2, Qwen2, Qwen3...). We own only the loop.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from transformers import CONFIG_MAPPING, AutoConfig, LlamaConfig, PreTrainedConfig

from vpo.looped.depth import ACT, LearnedGate, as_policy, is_saved, to_dict

#: Settings under which a model scales its embeddings or logits outside the layers; None and 1 change nothing.
RESCALING = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
    "embedding_multiplier",
)


class LoopedConfig(PreTrainedConfig):
    """Configuration of :class:`~vpo.looped.LoopedForCausalLM`.

    Args:
        layer_config: Configuration of the decoder layers, as an object or a dict with ``model_type``. Its
            ``num_hidden_layers`` counts *physical* layers: ``prelude_layers + core_layers + coda_layers``.
        prelude_layers: Layers run once before the loop. Their output is the signal that is re-injected at every loop.
        core_layers: Layers of the shared core.
        coda_layers: Layers run once after the loop.
        num_loops: Times the core runs when nothing else is asked for (2 by default), or the cap of ``depth_policy``.
        injection: How the prelude output enters each loop: ``"gate"``, ``"diagonal"``, ``"concat"``, ``"add"`` or
            ``"none"``; see :mod:`vpo.looped.injection`.
        retention_init: Share of the state kept by one re-injection before training, in (0, 1); for ``"gate"`` and
            ``"diagonal"``.
        scale_control: What bounds the state: ``"none"`` (the retention does), ``"match"`` or ``"norm"``; see
            :mod:`vpo.looped.scale`. By default ``"none"`` for the injections with a retention, else ``"match"``.
        depth_policy: Who decides the number of loops, a policy or the dict that :func:`vpo.looped.depth.to_dict` makes
            of it; by default a fixed depth of ``num_loops``.
        halt_gate: Give the model a gate for the policies that learn when to stop.
        cache_planes: Most versions that a token's keys and values are kept in, M; loops beyond it read version M. None
            for one a loop.
        learned_positions: Number of absolute positions with a learned embedding, added to the token embedding; 0 for
            none. A prompt that is a grid of fixed size is read far sooner with them than by rotary positions alone.

    Raises:
        ValueError: The layer counts do not add up, a count is out of range, or the layer type is not supported.
    """

    model_type = "vpo_looped"
    sub_configs: ClassVar[dict[str, Any]] = {"layer_config": AutoConfig}
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "past_key_values",
        "loop_depths",
        "loop_residuals",
        "loop_reasons",
        "loop_damping",
        "loop_remainders",
        "loop_hidden_states",
        "loop_gate_logits",
        "loop_policy",
    ]
    # TRL reads ``config.auto_map`` unconditionally when it loads a reference model by path.
    auto_map: ClassVar[dict[str, str]] = {}

    layer_config: Any = None  # a dict, as it comes from JSON, becomes a PreTrainedConfig
    prelude_layers: int = 1
    core_layers: int = 2
    coda_layers: int = 1
    num_loops: int | None = None
    injection: Literal["gate", "diagonal", "concat", "add", "none"] = "gate"
    retention_init: float = 0.5
    scale_control: Literal["none", "match", "norm"] | None = None
    depth_policy: Any = None  # a dict; a policy object becomes one
    halt_gate: bool = False
    cache_planes: int | None = None
    learned_positions: int = 0
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Resolve ``layer_config``, inherit what belongs to both, and check the layer counts."""
        if self.layer_config is None:
            layers = self.prelude_layers + self.core_layers + self.coda_layers
            self.layer_config = LlamaConfig(num_hidden_layers=layers)
        elif isinstance(self.layer_config, dict):
            model_type = self.layer_config.get("model_type", "llama")
            if model_type not in CONFIG_MAPPING:
                raise ValueError(
                    f"layer_config names model_type {model_type!r}, which this transformers does not know."
                )
            self.layer_config = CONFIG_MAPPING[model_type](**self.layer_config)
        self.tie_word_embeddings = self.tie_word_embeddings or bool(self.layer_config.tie_word_embeddings)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(self.layer_config, name, None))
        if self.scale_control is None:
            self.scale_control = "none" if self.injection in ("gate", "diagonal") else "match"
        self._resolve_depth()
        self._check()
        super().__post_init__(**kwargs)

    def _resolve_depth(self) -> None:
        if self.depth_policy is None:
            self.num_loops = 2 if self.num_loops is None else self.num_loops
            return
        policy = as_policy(self.depth_policy)
        if not is_saved(policy):
            raise ValueError(f"depth_policy is {policy}: a model cannot be saved with it. Pass it to a call instead.")
        if isinstance(policy, (LearnedGate, ACT)) and not self.halt_gate:
            raise ValueError(f"depth_policy is {policy}, which reads a gate: set halt_gate=True, and train it.")
        if self.num_loops not in (None, policy.cap):
            raise ValueError(
                f"num_loops is {self.num_loops}, and the cap of {policy} is {policy.cap}: give one of the two."
            )
        self.depth_policy, self.num_loops = to_dict(policy), policy.cap

    def _check(self) -> None:
        parts = {
            "prelude_layers": self.prelude_layers,
            "core_layers": self.core_layers,
            "coda_layers": self.coda_layers,
        }
        physical = self.layer_config.num_hidden_layers
        if self.core_layers < 1 or self.prelude_layers < 0 or self.coda_layers < 0:
            raise ValueError(f"{parts}: expected at least one core layer and no negative count.")
        if sum(parts.values()) != physical:
            raise ValueError(
                f"{parts} add up to {sum(parts.values())}, but layer_config.num_hidden_layers is {physical}: "
                "every layer belongs to exactly one part. Change the parts or the number of layers."
            )
        if self.num_loops is None or self.num_loops < 1:
            raise ValueError(f"num_loops is {self.num_loops}: expected 1 or more.")
        if not 0.0 < self.retention_init < 1.0:
            raise ValueError(f"retention_init is {self.retention_init}: expected a share strictly between 0 and 1.")
        if self.cache_planes is not None and self.cache_planes < 1:
            raise ValueError(f"cache_planes is {self.cache_planes}: expected 1 or more, or None for one a loop.")
        if self.learned_positions < 0:
            raise ValueError(f"learned_positions is {self.learned_positions}: expected 0 (none) or a sequence length.")
        for name, value, known in (
            ("injection", self.injection, ("gate", "diagonal", "concat", "add", "none")),
            ("scale_control", self.scale_control, ("none", "match", "norm")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}: expected one of {', '.join(known)}.")
        for setting in RESCALING:
            value = getattr(self.layer_config, setting, None)
            if value not in (None, 1, 1.0):
                raise ValueError(
                    f"layer_config has {setting}={value}: it rescales embeddings or logits outside the layers, which a "
                    "looped model does not. Choose a family without, such as Llama, SmolLM2 or Qwen."
                )
        kinds = set(getattr(self.layer_config, "layer_types", None) or ["full_attention"])
        if getattr(self.layer_config, "sliding_window", None) and not hasattr(self.layer_config, "layer_types"):
            kinds = {"sliding_attention"}  # the layers have the window without saying so (Mistral)
        if kinds != {"full_attention"}:
            raise ValueError(
                f"layer_config has layers of type {sorted(kinds)}: only full attention can be looped so far. "
                "Switch the sliding window off (sliding_window=None) or choose another model."
            )

    # The names under which transformers and vLLM look for the sizes of a text model.

    @property
    def vocab_size(self) -> int:
        """Number of tokens in the vocabulary."""
        return self.layer_config.vocab_size

    @vocab_size.setter
    def vocab_size(self, value: int) -> None:
        self.layer_config.vocab_size = value

    @property
    def hidden_size(self) -> int:
        """Width of the state."""
        return self.layer_config.hidden_size

    @property
    def num_attention_heads(self) -> int:
        """Query heads of one layer."""
        return self.layer_config.num_attention_heads

    @property
    def num_key_value_heads(self) -> int:
        """Key/value heads of one layer."""
        return self.layer_config.num_key_value_heads

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.layer_config.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def max_position_embeddings(self) -> int:
        """Longest sequence the rotary embedding was configured for."""
        return self.layer_config.max_position_embeddings

    @property
    def num_hidden_layers(self) -> int:
        """Layers *executed* at ``num_loops`` loops; also the number of key/value planes a cache needs."""
        return self.prelude_layers + self.coda_layers + self.core_layers * (self.num_loops or 1)
