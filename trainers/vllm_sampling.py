"""What TRL leaves to vLLM's defaults is decided here: numeric type, random numbers, loops, and weights on a CPU.

Numeric type. vLLM turns a float32 checkpoint into bfloat16, and TRL has no option for it, so a policy trained in
float32 would be sampled from another distribution: token log-probabilities were off by 1e-3 to 5e-2 nats.

Random numbers. In colocate mode vLLM draws from the generators of the process, and seeds them anew with the number of
the process when it starts. Runs with different seeds would sample with the same random numbers.

Loops. A looped policy gets an engine that tells the depth of every token (:mod:`vpo.looped.vllm_plugin`).

Weights on a CPU. There vLLM packs the weights of linear layers in another form, and drops the originals or goes on with
the packed ones: new weights would be refused, or ignored in silence (the head).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import set_seed
from trl.generation import vllm_generation

from vpo.looped import looped_policy

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
        options["dtype"] = str(training_dtype(trainer)).removeprefix("torch.")
        keep_weights_loadable()
        policy = looped_policy(trainer.accelerator.unwrap_model(trainer.model))
        if policy is None:
            return engine(**options)  # type: ignore[misc]
        from vpo.looped.vllm_plugin import LoopedLLM

        return LoopedLLM(depth_policy=policy.depth_policy, **options)

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


def keep_weights_loadable() -> None:
    """On a CPU, keep the engines of this process from packing their weights."""
    if find_spec("vllm") is None:  # an engine of somebody's own stands in TRL's place
        return
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers import utils

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain


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
