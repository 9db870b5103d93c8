"""Samples from a Hugging Face causal model in this process, every row by its own seed.

``generate`` draws all rows from one global generator, so a completion depends on its batch mates and cannot be repeated
alone. Here generate runs greedily on logits to which seeded Gumbel noise was added, which samples exactly (see
``search.noise``) and works with any model that ``generate`` supports: its caches, its left padding, its device map.
What remains between batches is floating-point rounding. Letters: B rows, L padded length, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from search.noise import gumbel_noise
from search.prompt_tokens import check_context, prompt_ids, read_completion, request_ids
from search.records import Generation, Prompt, Request


class ModelSampler:
    """A sampler around ``model.generate``.

    The model is put in evaluation mode while it samples, and restored afterwards.

    Args:
        model: A causal model that can ``generate``.
        tokenizer: Its tokenizer.
        batch_size: Most rows in one call of ``generate``.
        chat_template_kwargs: For the chat template, e.g. ``{"enable_thinking": False}``; as in training.
        generate_kwargs: Further arguments of the model's forward pass, e.g. a cap on its loops.

    Raises:
        ValueError: ``batch_size`` is below 1, or neither tokenizer nor model names an end-of-sequence token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int = 32,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        generate_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1: it is the number of rows per call.")
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._chat_template_kwargs = dict(chat_template_kwargs or {})
        self._generate_kwargs = dict(generate_kwargs or {})
        self._tokenizing = Lock()  # no tokenizer is safe in two threads; a server checks prompts while it samples
        self._aborted: set[int] = set()
        self._eos_ids = _eos_ids(model, tokenizer)
        pad_id = tokenizer.pad_token_id
        self._pad_id: int = pad_id if pad_id is not None else self._eos_ids[0]

    def describe(self) -> dict[str, Any]:
        """Which model, and every option that changes its completions; the batch size does not."""
        return {
            "name": "model",
            "model": self._model.config._name_or_path,
            "chat_template_kwargs": self._chat_template_kwargs,
            "generate_kwargs": self._generate_kwargs,
        }

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order.

        Raises:
            ValueError: A prompt is empty, or does not fit into the model's context together with its completion.
        """
        encoded = [self._encode(request) for request in requests]
        # Rows of like length share a batch, so little is padded; one call has one max_new_tokens
        order = sorted(range(len(requests)), key=lambda i: (requests[i].max_new_tokens, sum(map(len, encoded[i]))))
        generations: dict[int, Generation] = {}
        was_training = self._model.training
        self._model.eval()
        try:
            while order:
                first = requests[order[0]]
                batch = [i for i in order[: self._batch_size] if requests[i].max_new_tokens == first.max_new_tokens]
                order = order[len(batch) :]
                rows = [[*encoded[i][0], *encoded[i][1]] for i in batch]
                completions = self._generate([requests[i] for i in batch], rows)
                for i, completion in zip(batch, completions, strict=True):
                    generations[i] = self._read(requests[i], *encoded[i], completion)
        finally:
            self._model.train(was_training)
            self._aborted.difference_update(request.id for request in requests)
        return [generations[i] for i in range(len(requests))]

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt.

        Raises:
            ValueError: It has none, or is a chat and the tokenizer has no template.
        """
        with self._tokenizing:
            return len(prompt_ids(self._tokenizer, prompt, self._chat_template_kwargs))

    def check(self, request: Request) -> None:
        """Raise now what ``sample`` would raise: a request can be refused before it waits for its turn.

        Raises:
            ValueError: As ``sample``.
        """
        self._encode(request)

    def abort(self, request_id: int) -> None:
        """Stop computing a request, from another thread than the one that samples it.

        What ``sample`` returns for it then is of no use. A batch all of whose requests are aborted ends at once.

        Args:
            request_id: ``Request.id``; of requests that are not under way, it must not come later.
        """
        self._aborted.add(request_id)

    def _encode(self, request: Request) -> tuple[list[int], list[int]]:
        """Token ids of prompt and prefix."""
        with self._tokenizing:
            prompt, prefix = request_ids(self._tokenizer, request, self._chat_template_kwargs)
        context = getattr(self._model.config, "max_position_embeddings", None)
        check_context(len(prompt) + len(prefix), request, context)
        return prompt, prefix

    @torch.no_grad()
    def _generate(self, requests: Sequence[Request], rows: Sequence[list[int]]) -> list[list[int]]:
        """Generate one batch; returns the new ids of each row, up to and including its end-of-sequence token."""
        length = max(map(len, rows))
        device = self._model.device
        input_ids = torch.tensor([[self._pad_id] * (length - len(row)) + row for row in rows], device=device)
        attention_mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
        config = GenerationConfig(
            max_new_tokens=requests[0].max_new_tokens,
            do_sample=False,
            num_beams=1,
            # Named here so that a checkpoint's generation_config.json cannot bend the distribution
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            min_new_tokens=0,
            temperature=1.0,
            top_k=50,
            top_p=1.0,
            pad_token_id=self._pad_id,
            eos_token_id=self._eos_ids,
            return_dict_in_generate=False,
        )
        output = self._model.generate(
            input_ids,
            attention_mask=attention_mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([SeededSampling(requests, length)]),
            stopping_criteria=StoppingCriteriaList([Aborts(requests, self._aborted)]),
            **self._generate_kwargs,
        )
        return [self._until_eos(row) for row in output[:, length:].tolist()]

    def _until_eos(self, ids: list[int]) -> list[int]:
        for position, token in enumerate(ids):
            if token in self._eos_ids:
                return ids[: position + 1]
        return ids

    def _read(self, request: Request, prompt: list[int], prefix: list[int], completion: list[int]) -> Generation:
        with self._tokenizing:
            text = read_completion(self._tokenizer, request, prefix, completion)
        return Generation(
            request_id=request.id,
            text=text,
            prompt_tokens=len(prompt) + len(prefix),
            completion_tokens=len(completion),
            finish_reason="stop" if completion[-1] in self._eos_ids else "length",
        )


class Aborts(StoppingCriteria):
    """Ends the rows of aborted requests.

    Args:
        requests: B requests, in the order of the batch's rows.
        aborted: Ids of aborted requests; it may grow meanwhile.
    """

    def __init__(self, requests: Sequence[Request], aborted: Collection[int]) -> None:
        self._ids = [request.id for request in requests]
        self._aborted = aborted

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """(B,) whether a row is to end."""
        if not self._aborted:  # nearly always: nothing is moved to the device
            return torch.zeros(len(self._ids), dtype=torch.bool, device=input_ids.device)
        return torch.tensor([request_id in self._aborted for request_id in self._ids], device=input_ids.device)


class SeededSampling:
    """Logits processor that turns greedy decoding into temperature sampling with a seed per row.

    Args:
        requests: B requests, in the order of the batch's rows.
        prompt_length: L, from which the step is counted.
    """

    supports_continuous_batching = False

    def __init__(self, requests: Sequence[Request], prompt_length: int) -> None:
        self._seeds = [request.seed for request in requests]
        self._prompt_length = prompt_length
        self._temperature = torch.tensor([request.temperature for request in requests])[:, None]
        self._top_p = torch.tensor([request.top_p for request in requests])[:, None]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Perturb logits (B, V) such that their argmax is the sample."""
        temperature = self._temperature.to(scores.device)
        is_greedy = temperature == 0
        scores = scores.float() / temperature.masked_fill(is_greedy, 1.0)
        if bool((self._top_p < 1).any()):
            scores = keep_nucleus(scores, self._top_p.to(scores.device))
        step = input_ids.shape[1] - self._prompt_length
        noise = gumbel_noise(self._seeds, step, scores.shape[1], scores.device)
        return torch.where(is_greedy, scores, scores + noise)


def keep_nucleus(scores: Tensor, top_p: Tensor) -> Tensor:
    """Set all but the most probable tokens to -inf: the smallest set whose mass reaches ``top_p``, ties included.

    Args:
        scores: (B, V) logits.
        top_p: (B, 1) masses in (0, 1].

    Returns:
        (B, V) logits.
    """
    probabilities = scores.softmax(dim=-1)
    ordered, index = probabilities.sort(dim=-1, descending=True)
    # A token stays if the mass before it falls short; so the most probable one always stays
    dropped = ordered.cumsum(dim=-1) - ordered >= top_p
    return scores.masked_fill(dropped.scatter(1, index, dropped), -torch.inf)


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = [configured] if isinstance(configured, int) else list(configured or [])
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    if not ids:
        raise ValueError(
            "neither tokenizer nor model has an end-of-sequence token, expected one, as completions would never stop: "
            "set tokenizer.eos_token."
        )
    return list(dict.fromkeys(ids))
