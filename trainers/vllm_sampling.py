"""What TRL leaves to vLLM's defaults is decided here: the numeric type and the random numbers that it samples with.

Numeric type. vLLM turns a float32 checkpoint into bfloat16, and TRL has no option for it, so a policy trained in
float32 would be sampled from another distribution: token log-probabilities were off by 1e-3 to 5e-2 nats.

Random numbers. In colocate mode vLLM draws from the generators of the process, and seeds them anew with the number of
the process when it starts. Runs with different seeds would sample with the same random numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import set_seed
from trl.generation import vllm_generation

if TYPE_CHECKING:
    from trl import GRPOConfig, GRPOTrainer

logger = logging.getLogger(__name__)
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}


@contextmanager
def vllm_sampling(trainer: GRPOTrainer, args: GRPOConfig) -> Iterator[None]:
    """Around the construction of a trainer: if it samples with vLLM, in the numeric type and by the seed of the run.

    In colocate mode the engine computes in :func:`training_dtype`. A server runs already, so one that computes in
    another type is warned about.

    Args:
        trainer: The trainer that is constructed inside.
        args: Its settings.
    """
    if not args.use_vllm:
        yield
        return
    if args.vllm_mode == "server":
        yield
        _compare_with_server(trainer)
        return
    engine = getattr(vllm_generation, "LLM", None)

    def build(**options: Any) -> Any:
        return engine(**{**options, "dtype": str(training_dtype(trainer)).removeprefix("torch.")})  # type: ignore[misc]

    if engine is None:  # vLLM is not installed, and TRL is about to say so
        yield
        return
    vllm_generation.LLM = build
    try:
        yield
    finally:
        vllm_generation.LLM = engine
    # Processes that hold parts of one engine must draw the same numbers.
    set_seed(args.seed + trainer.accelerator.process_index // args.vllm_tensor_parallel_size)


def training_dtype(trainer: GRPOTrainer) -> torch.dtype:
    """Type in which the policy's log-probabilities are computed in training: autocast's, or its weights' own."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return _AUTOCAST.get(trainer.accelerator.mixed_precision, model.dtype)


def _compare_with_server(trainer: GRPOTrainer) -> None:
    if not trainer.accelerator.is_main_process:
        return  # it alone holds the client
    info = trainer.vllm_generation.vllm_client.get_server_info()
    ours, theirs = (str(t).removeprefix("torch.") for t in (training_dtype(trainer), info["model_config"]["dtype"]))
    if ours != theirs:
        logger.warning(
            f"the vLLM server samples in {theirs}, and the policy is trained in {ours}: the log-probabilities of the "
            f"two differ by more than rounding. Restart the server with `--dtype {ours}`, or train in {theirs} "
            "(bf16, fp16, or the dtype that the model is loaded in)."
        )
