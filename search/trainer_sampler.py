"""Samples the policy of a trainer as it is now, and a callback that searches with it every so many steps.

With transformers the unwrapped model generates by seeded noise (``search.model_sampler``). With vLLM in the trainer's
process its engine does, once it has the weights of the step. Neither touches the random numbers of training, so a run
that is searched on its way is the same run.

Left out: models that several processes share (FSDP, DeepSpeed ZeRO-3, tensor parallelism), where a completion takes all
of them in step, and vLLM's server mode, in which the trainer alone talks to the server. Both are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback
from trl.models import unwrap_model_for_generation

from search.model_sampler import ModelSampler
from search.records import Generation, Prompt, Request, SearchResult
from search.samplers import Sampler
from search.vllm_sampler import VLLMSampler

if TYPE_CHECKING:
    from trl import GRPOTrainer


class TrainerSampler:
    """A sampler of a policy in training. The model is in evaluation mode meanwhile, and restored afterwards.

    Args:
        trainer: A ``VPOTrainer`` or ``GRPOTrainer``.
        batch_size: Most rows in one call of ``generate``; vLLM decides for itself.

    Raises:
        ValueError: The trainer's model or engine is spread over processes, or its engine is a server.
    """

    def __init__(self, trainer: GRPOTrainer, *, batch_size: int = 32) -> None:
        _check(trainer)
        self._trainer: Any = trainer
        self._batch_size = batch_size
        self._template: dict[str, Any] = dict(trainer.chat_template_kwargs)
        if trainer.chat_template is not None:
            self._template["chat_template"] = trainer.chat_template

    def describe(self) -> dict[str, Any]:
        """The policy's name and how many steps it was trained: the next step's is another sampler."""
        return {
            "name": "trainer",
            "model": self._trainer.model.config._name_or_path,
            "step": self._trainer.state.global_step,
            "engine": "vllm" if self._trainer.use_vllm else "transformers",
            "chat_template_kwargs": self._template,
        }

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt.

        Raises:
            ValueError: It has none, or is a chat and the tokenizer has no template.
        """
        from search.prompt_tokens import prompt_ids

        return len(prompt_ids(self._trainer.processing_class, prompt, self._template))

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order, with the weights of this moment.

        Raises:
            ValueError: A prompt is empty, or does not fit into the context together with its completion.
        """
        return self._sample_with_vllm(requests) if self._trainer.use_vllm else self._sample_with_model(requests)

    def _sample_with_model(self, requests: Sequence[Request]) -> list[Generation]:
        trainer = self._trainer
        with unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model:
            sampler = ModelSampler(
                model,
                trainer.processing_class,
                batch_size=self._batch_size,
                chat_template_kwargs=self._template,
            )
            return sampler.sample(requests)

    def _sample_with_vllm(self, requests: Sequence[Request]) -> list[Generation]:
        trainer, engine = self._trainer, self._trainer.vllm_generation
        is_asleep = engine.enable_sleep_mode and engine._llm_weights_sleeping  # deep sleep threw the weights away
        if is_asleep or trainer.state.global_step != trainer._last_loaded_step:
            engine.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step
        if engine.enable_sleep_mode:
            engine.llm.wake_up(tags=["kv_cache"])
        try:
            sampler = VLLMSampler(
                engine.llm,
                tokenizer=trainer.processing_class,
                stop_token_ids=trainer.eos_token_ids,  # the engine's own are those of the checkpoint it started from
                chat_template_kwargs=self._template,
            )
            # vLLM may draw from the process's generator even where each request has its own; on a CPU it always does
            devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
            with torch.random.fork_rng(devices):
                return sampler.sample(requests)
        finally:
            if engine.enable_sleep_mode:
                engine.llm.sleep(level=2)
                engine._llm_weights_sleeping = True


class SearchDuringTraining(TrainerCallback):
    """Searches with the policy every so many steps, and logs how good the best answers were.

    Logged beside the trainer's metrics: ``search/best``, the mean over problems of the best scalar (a problem without
    an answer counts 0); ``search/answers`` and ``search/completion_tokens``, summed over problems. The main process
    searches, the others wait. Add it with ``trainer.add_callback(SearchDuringTraining(trainer, search, every=50))``.

    Args:
        trainer: The trainer.
        search: Runs a search with a sampler, e.g. ``lambda sampler: run_search(problems, ..., sampler, budget)``.
        every: Steps between searches.
        batch_size: See :class:`TrainerSampler`.

    Attributes:
        history: Step and results of each search.

    Raises:
        ValueError: ``every`` is below 1, or the trainer cannot be sampled (see :class:`TrainerSampler`).
    """

    def __init__(
        self,
        trainer: GRPOTrainer,
        search: Callable[[Sampler], Sequence[SearchResult]],
        *,
        every: int,
        batch_size: int = 32,
    ) -> None:
        if every < 1:
            raise ValueError(f"every is {every}, expected at least 1: it is the number of steps between searches.")
        self.history: list[tuple[int, list[SearchResult]]] = []
        self._trainer = trainer
        self._sampler = TrainerSampler(trainer, batch_size=batch_size)
        self._search = search
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Search, if it is time."""
        if state.global_step % self._every:
            return
        if self._trainer.accelerator.is_main_process:
            results = list(self._search(self._sampler))
            self.history.append((state.global_step, results))
            best = [result.best[-1] if result.candidates else 0.0 for result in results]
            found = {
                "search/best": sum(best) / max(len(best), 1),
                "search/answers": sum(result.answers[-1] for result in results if result.answers),
                "search/completion_tokens": sum(r.completion_tokens[-1] for r in results if r.completion_tokens),
            }
            for name, value in found.items():  # the next log takes them along
                self._trainer._metrics["train"][name].append(float(value))
        self._trainer.accelerator.wait_for_everyone()


def _check(trainer: Any) -> None:
    spread = None
    if getattr(trainer, "is_fsdp_enabled", False):
        spread = "FSDP"
    elif getattr(trainer, "is_deepspeed_enabled", False) and trainer.accelerator.state.deepspeed_plugin.zero_stage == 3:
        spread = "DeepSpeed ZeRO-3"
    elif trainer.use_vllm and trainer.args.vllm_tensor_parallel_size > 1:
        spread = "vLLM's tensor parallelism"
    if spread:
        raise ValueError(
            f"the policy in training is spread over processes by {spread}, expected a whole one in each: search a "
            "saved checkpoint instead (ModelSampler, VLLMSampler)."
        )
    if trainer.use_vllm and trainer.args.vllm_mode == "server":
        raise ValueError(
            "the trainer samples with a vLLM server, expected an engine of its own (vllm_mode='colocate'): search with "
            "OpenAISampler on that server's address."
        )
