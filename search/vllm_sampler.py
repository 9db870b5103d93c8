"""Samples with a vLLM engine in this process: batches, every request by its own seed.

One completion a request, never ``n``: vLLM gives the i-th of n completions ``seed + i``, so requests with neighbouring
seeds would share completions; equal prompts share their computation through vLLM's prefix cache all the same. Prompts
go as token ids, tokenized as in training, and completions are decoded here.

vLLM computes a request in the company that it finds, and kernels may round differently with the size of a batch: the
same seed gives the same completion but for such rounding, and exactly so only where ``VLLM_BATCH_INVARIANT=1`` works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig

from search.prompt_tokens import check_context, prompt_ids, read_completion, request_ids
from search.records import Generation, Prompt, Request
from search.request_seeds import SeedNarrower
from search.samplers import SamplerError
from vpo.looped import FixedDepth, LoopedConfig
from vpo.looped.vllm_plugin import check_config, register

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from vllm import LLM


class VLLMSampler:
    """A sampler around ``vllm.LLM.generate``.

    Args:
        llm: The engine. See :meth:`load` for one in the numeric type of the checkpoint.
        tokenizer: The policy's; the engine's own if None.
        stop_token_ids: Tokens that end a completion, beside those that the checkpoint names.
        chat_template_kwargs: For the chat template, e.g. ``{"enable_thinking": False}``; as in training.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        stop_token_ids: Sequence[int] = (),
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._llm = llm
        self._config = llm.llm_engine.model_config
        self._tokenizer: Any = tokenizer or llm.get_tokenizer()
        self._stop_token_ids = list(stop_token_ids)
        self._chat_template_kwargs = dict(chat_template_kwargs or {})
        # torch's generator on a CPU reads the lowest 32 bits of a seed; the one on a GPU reads all
        self._narrow = SeedNarrower(32 if llm.llm_engine.vllm_config.device_config.device_type == "cpu" else 63)

    @classmethod
    def load(
        cls, model: str, *, chat_template_kwargs: Mapping[str, Any] | None = None, **engine_options: Any
    ) -> VLLMSampler:
        """Start an engine for a checkpoint.

        vLLM by itself turns a float32 checkpoint into bfloat16, which is another policy; here it computes in the type
        that the checkpoint was saved in.

        Args:
            model: Folder or hub name.
            chat_template_kwargs: See the class.
            engine_options: For ``vllm.LLM``, e.g. ``gpu_memory_utilization``; a ``dtype`` wins over the checkpoint's.

        Raises:
            ValueError: vLLM is not installed, or it is a looped policy that vLLM cannot run.
        """
        config, _ = PreTrainedConfig.get_config_dict(model)  # the file alone: building it may run a model's own code
        is_looped = config.get("model_type") == LoopedConfig.model_type
        if is_looped and not isinstance(check_config(LoopedConfig.from_dict(config)), FixedDepth):
            engine_options.setdefault("enforce_eager", True)  # tokens stop by themselves
        try:
            from vllm import LLM
        except ImportError:
            raise ValueError(
                "VLLMSampler was asked for and vLLM is not installed, expected it in an environment of its own: "
                "pip install 'vpo[vllm]', or use ModelSampler."
            ) from None
        if is_looped:
            register()
        dtype = config.get("dtype") or config.get("torch_dtype") or "auto"
        return cls(LLM(model, **{"dtype": dtype, **engine_options}), chat_template_kwargs=chat_template_kwargs)

    def describe(self) -> dict[str, Any]:
        """Which model, and every option that changes its completions."""
        return {
            "name": "vllm",
            "model": self._config.model,
            "dtype": str(self._config.dtype).removeprefix("torch."),
            "stop_token_ids": self._stop_token_ids,
            "chat_template_kwargs": self._chat_template_kwargs,
        }

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt.

        Raises:
            ValueError: It has none, or is a chat and the tokenizer has no template.
        """
        return len(prompt_ids(self._tokenizer, prompt, self._chat_template_kwargs))

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order, in one call of the engine.

        Raises:
            ValueError: A prompt is empty, or does not fit into the engine's context together with its completion.
            SamplerError: The engine gave a request up.
        """
        from vllm import SamplingParams

        encoded = [request_ids(self._tokenizer, request, self._chat_template_kwargs) for request in requests]
        for request, (prompt, prefix) in zip(requests, encoded, strict=True):
            check_context(len(prompt) + len(prefix), request, self._config.max_model_len)
        params = [
            SamplingParams(
                seed=self._narrow(request.seed),
                max_tokens=request.max_new_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                stop_token_ids=self._stop_token_ids,
                detokenize=False,
            )
            for request in requests
        ]
        prompts = [{"prompt_token_ids": [*prompt, *prefix]} for prompt, prefix in encoded]
        outputs = self._llm.generate(prompts, params, use_tqdm=False) if requests else []
        return [
            self._read(request, *ids, output.outputs[0])
            for request, ids, output in zip(requests, encoded, outputs, strict=True)
        ]

    def _read(self, request: Request, prompt: list[int], prefix: list[int], completion: Any) -> Generation:
        if completion.finish_reason not in ("stop", "length"):
            raise SamplerError(
                f"vLLM ended request {request.id} with {completion.finish_reason!r}, expected 'stop' or 'length': look "
                "at its log."
            )
        ids = list(completion.token_ids)
        return Generation(
            request_id=request.id,
            text=read_completion(self._tokenizer, request, prefix, ids),
            prompt_tokens=len(prompt) + len(prefix),
            completion_tokens=len(ids),
            finish_reason=completion.finish_reason,
        )
