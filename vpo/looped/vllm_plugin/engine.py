"""``vllm.LLM`` for looped policies: every completion comes with the depths of its tokens."""

from __future__ import annotations

from typing import Any

from vllm import LLM

from vpo.looped.depth import DepthPolicy, to_dict
from vpo.looped.vllm_plugin import register
from vpo.looped.vllm_plugin.checks import policy_of
from vpo.looped.vllm_plugin.depth_record import TokenDepths, request_of
from vpo.looped.vllm_plugin.worker import EXTENSION


class LoopedLLM(LLM):
    """An engine in which ``output.outputs[i].depths`` are the :class:`TokenDepths` of every completion.

    Args:
        model: Folder or hub name of a looped policy.
        depth_policy: Decides the depths, in the place of the checkpoint's own.
        **options: As for ``vllm.LLM``. ``enforce_eager`` is on: in a captured CUDA graph nobody could look at depths.

    Raises:
        ValueError: vLLM cannot run the policy; see :mod:`vpo.looped.vllm_plugin.checks`.
    """

    def __init__(self, model: str, depth_policy: DepthPolicy | None = None, **options: Any) -> None:
        register()  # the entry point does it too, where the package is installed
        overrides = dict(options.pop("hf_overrides", None) or {})
        if depth_policy is not None:
            overrides |= {"depth_policy": to_dict(depth_policy), "num_loops": depth_policy.cap}
        forced = {"enforce_eager": True, "worker_extension_cls": EXTENSION, "hf_overrides": overrides}
        super().__init__(model, **{**options, **forced})
        self.depth_policy: DepthPolicy = policy_of(self.llm_engine.vllm_config)
        self.collective_rpc("record_depths")

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """As ``vllm.LLM.generate``."""
        outputs = super().generate(*args, **kwargs)
        taken = self.collective_rpc("take_depths")[0]  # all workers of an engine agree
        found = {request_of(name): TokenDepths.of(depths) for name, depths in taken.items()}
        for output in outputs:
            for completion in output.outputs:
                completion.depths = found[output.request_id, completion.index]
        return outputs
