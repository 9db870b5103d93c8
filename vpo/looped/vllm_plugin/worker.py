"""Our methods on vLLM's workers (``worker_extension_cls``): how an engine is asked for depths, in whichever process."""

from __future__ import annotations

from typing import Any

from vpo.looped.vllm_plugin.depth_record import DepthRecord, TokenDepths

EXTENSION = "vpo.looped.vllm_plugin.worker.LoopedWorkerExtension"


class LoopedWorkerExtension:
    """Mixed into the worker's class by vLLM; called through ``llm.collective_rpc``."""

    model_runner: Any

    def record_depths(self) -> None:
        """Begin to record.

        Raises:
            RuntimeError: vLLM runs the model in a way that does not tell which request a token belongs to.
        """
        runner = self.model_runner
        batch = getattr(runner, "input_batch", None)
        if batch is None or not hasattr(batch, "block_table"):
            raise RuntimeError(
                "depths cannot be recorded with vLLM's second model runner: start with VLLM_USE_V2_MODEL_RUNNER=0."
            )
        model = runner.get_model().model
        if model.record is None:
            block_size = batch.block_table[0].block_size
            model.record = DepthRecord(lambda: runner.input_batch.req_ids, block_size)

    def take_depths(self) -> dict[str, dict[str, list[float]]]:
        """Depths of all requests since the last call, by vLLM's internal name of a request; see `TokenDepths.plain`."""
        taken: dict[str, TokenDepths] = self.model_runner.get_model().model.record.take()
        return {name: depths.plain() for name, depths in taken.items()}
