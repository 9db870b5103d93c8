"""Looped policies in vLLM: a model class of our own, registered through vLLM's plugin entry point.

vLLM knows no looped model, and its transformers backend keeps one version of keys and values for all loops, which is
silently wrong. With this plugin installed, ``vllm.LLM(folder)`` and ``vllm serve folder`` run a converted or trained
looped checkpoint: at a fixed depth, or with every token stopping by itself as in ``LoopedForCausalLM.generate``.
"""

from __future__ import annotations

from vpo.first_use import on_first_use

__all__ = ["LoopedLLM", "TokenDepths", "check_config", "register"]

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "LoopedLLM": "vpo.looped.vllm_plugin.engine",
        "TokenDepths": "vpo.looped.vllm_plugin.depth_record",
        "check_config": "vpo.looped.vllm_plugin.checks",
    },
)

#: Entry point of the group ``vllm.general_plugins`` in pyproject.toml; vLLM calls it in each of its processes.
MODEL = "vpo.looped.vllm_plugin.model:VLLMLoopedForCausalLM"


def register() -> None:
    """Make looped checkpoints known to vLLM and to transformers; may be called again and again."""
    from vllm import ModelRegistry

    import vpo.looped  # noqa: F401 - registers the configuration with transformers

    ModelRegistry.register_model("LoopedForCausalLM", MODEL)
