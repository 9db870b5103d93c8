"""What a looped policy did while it sampled: the depth of every token, and the log-probability it was drawn with.

``generate`` returns token ids alone. Forward hooks see the rest: each call's depths, and its logits, of which one row a
sequence is kept until the next call says which token was drawn. Nothing of ``generate`` is replaced.

Shape letters: B sequences, P prompt tokens (left-padded), C completion tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vpo.looped import DepthTrace


@dataclass
class SampledDepths:
    """The record of one batch of completions.

    Args:
        trace: (B, P + C) depths of all tokens, aligned with the padded prompts and completions. The last token of a
            completion was drawn but not fed in: its depth is 1, and nothing depends on it.
        logps: (B, C) log-probabilities of the drawn tokens at sampling, 0 at padding.
    """

    trace: DepthTrace
    logps: Tensor

    def of_completion(self, values: Tensor) -> Tensor:
        """(B, P + C) values by input token -> (B, C) by the completion token that each of them predicts."""
        length = self.logps.shape[1]
        return values[:, -length - 1 : -1]


class DepthRecorder:
    """Collects what the hooks see; see :func:`record_depths`.

    Args:
        temperature: Logits are divided by it, as in sampling.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self._traces: list[DepthTrace] = []
        self._logps: list[Tensor] = []
        self._pending: Tensor | None = None  # (B, V) of the token that is about to be drawn

    def see(self, module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any], output: Any) -> None:
        """Forward hook of the model with the head."""
        ids = inputs["input_ids"] if "input_ids" in inputs else args[0]
        if self._pending is not None:
            self._logps.append(self._pending.gather(-1, ids[:, :1]).squeeze(-1))
        self._pending = (output.logits[:, -1].float() / self.temperature).log_softmax(-1)
        self._traces.append(output.trace)

    def result(self, completion_ids: Sequence[Sequence[int]], num_prompt_tokens: int) -> SampledDepths:
        """Align the record with the batch that is trained on.

        Args:
            completion_ids: B completions, cut after their first end token.
            num_prompt_tokens: P.

        Raises:
            RuntimeError: ``generate`` fed other tokens than prompts and completions one by one (an assistant model, a
                chunked prefill, several calls).
        """
        trace = DepthTrace.join(self._traces)
        longest = max(len(ids) for ids in completion_ids)
        fed = trace.depth.shape[1]
        if fed < num_prompt_tokens + longest - 1 or len(completion_ids) != len(trace.depth) or self._pending is None:
            raise RuntimeError(
                f"sampling fed {fed} tokens of {len(trace.depth)} sequences to the policy; expected at least "
                f"{num_prompt_tokens + longest - 1} of {len(completion_ids)}: the prompts and all but the last "
                "completion token. Sample with plain `generate` (no assistant model, no tools) to train at the sampled "
                "depths."
            )
        ids = torch.zeros(len(completion_ids), longest, dtype=torch.long)
        for row, sequence in enumerate(completion_ids):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        ids = ids.to(trace.depth.device)
        drawn = [*self._logps, self._pending.gather(-1, ids[:, -1:]).squeeze(-1)]
        lengths = torch.tensor([len(sequence) for sequence in completion_ids], device=ids.device)
        inside = torch.arange(longest, device=ids.device) < lengths[:, None]
        logps = torch.stack(drawn[:longest], dim=1).masked_fill(~inside, 0.0)
        return SampledDepths(_extend(trace, num_prompt_tokens + longest), logps)


@contextmanager
def record_depths(policy: nn.Module, temperature: float = 1.0) -> Iterator[DepthRecorder]:
    """Record the depths of what ``policy``, the looped model with the head, samples within the block."""
    recorder = DepthRecorder(temperature)
    handle = policy.register_forward_hook(recorder.see, with_kwargs=True)
    try:
        yield recorder
    finally:
        handle.remove()


def _extend(trace: DepthTrace, length: int) -> DepthTrace:
    """The trace of exactly ``length`` tokens: cut, or continued with depth 1 for tokens that were never fed in."""
    have = min(trace.depth.shape[1], length)
    first = trace.first(have)
    if have == length:
        return first
    missing = (len(first.depth), length - have)
    return DepthTrace.join(
        [
            first,
            DepthTrace(
                first.depth.new_ones(missing),
                first.residual.new_zeros(missing),
                first.reason.new_zeros(missing),
                first.damping.new_zeros(missing),
            ),
        ]
    )
