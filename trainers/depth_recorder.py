"""What a looped policy did while it sampled: the depth of every token, and the log-probability it was drawn with.

``generate`` returns token ids alone. Forward hooks see the rest: each call's tokens and depths, and its logits, of
which one row a sequence is kept until the next call says which token was drawn. Nothing of ``generate`` is replaced.

Shape letters: B sequences, P prompt tokens (left-padded), C completion tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vpo.looped import DepthPolicy, DepthTrace


@dataclass
class SampledDepths:
    """The record of one batch of completions.

    Args:
        trace: (B, P + C) depths of all tokens, aligned with the padded prompts and completions. The last token of a
            completion was drawn but not fed in: its depth is 1, and nothing depends on it.
        logps: (B, C) log-probabilities of the drawn tokens at sampling, 0 at padding.
        policy: The depth policy that was sampled with; not always the model's own.
    """

    trace: DepthTrace
    logps: Tensor
    policy: DepthPolicy

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
        self._ids: list[Tensor] = []
        self._traces: list[DepthTrace] = []
        self._logps: dict[int, Tensor] = {}  # (B,) by the place of the token that was drawn
        self._pending: Tensor | None = None  # (B, V) logits of the token that is about to be drawn
        self._fed = 0  # tokens of a sequence

    def see(self, module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any], output: Any) -> None:
        """Forward hook of the model with the head."""
        ids = inputs["input_ids"] if "input_ids" in inputs else args[0]
        before = self._fed
        starts_anew = output.past_key_values is None  # no cache: every call runs the whole sequence
        place = before if starts_anew else 0
        if self._pending is not None and ids.shape[1] > place:
            self._logps[before] = self._logp_of(ids[:, place : place + 1])
        # A copy: processors of sampling may change logits in place. Small against the logits of a prefill.
        self._pending = output.logits[:, -1].float().clone()
        if starts_anew:
            self._ids, self._traces, self._fed = [], [], 0
        self._ids.append(ids)
        self._fed += ids.shape[1]
        self._traces.append(output.trace)

    def result(
        self, prompt_ids: Sequence[Sequence[int]], completion_ids: Sequence[Sequence[int]], num_prompt_tokens: int
    ) -> SampledDepths:
        """Align the record with the batch that is trained on.

        Args:
            prompt_ids: B prompts.
            completion_ids: B completions, cut after their first end token.
            num_prompt_tokens: P, to which the prompts are left-padded.

        Raises:
            RuntimeError: Other tokens were fed in than the prompts and all but the last token of each completion (a
                second batch for guidance, an assistant model, several calls), or under several depth policies.
        """
        longest = max(len(ids) for ids in completion_ids)
        shape = (len(completion_ids), num_prompt_tokens + longest)
        expected = torch.full(shape, -1)
        for row, (prompt, completion) in enumerate(zip(prompt_ids, completion_ids, strict=True)):
            start = num_prompt_tokens - len(prompt)
            expected[row, start : num_prompt_tokens + len(completion)] = torch.tensor([*prompt, *completion])
        self._check_fed(expected)
        trace = DepthTrace.join(self._traces)
        if trace.policy is None or self._pending is None:
            raise RuntimeError("several depth policies decided in one generation: expected one throughout.")
        drawn = expected[:, num_prompt_tokens:].to(self._pending.device)
        inside = drawn >= 0
        last = self._logp_of(drawn[:, -1:].clamp(min=0))
        logps = [self._logps.get(num_prompt_tokens + place, last) for place in range(longest)]
        return SampledDepths(
            _extend(trace, shape[1]), torch.stack(logps, dim=1).masked_fill(~inside, 0.0), trace.policy
        )

    def _logp_of(self, tokens: Tensor) -> Tensor:
        """(B,) log-probability of drawing ``tokens`` (B, 1) now."""
        assert self._pending is not None
        scaled = self._pending if self.temperature == 1 else self._pending / self.temperature
        return scaled.gather(-1, tokens).squeeze(-1) - scaled.logsumexp(-1)

    def _check_fed(self, expected: Tensor) -> None:
        """``expected`` (B, P + C), -1 where anything may stand."""
        sizes = {len(part) for part in self._ids}
        if sizes == {len(expected)}:
            # The last token of a completion need not have been fed in: the one before padding, or in the last place.
            following, expected = expected[:, 1:], expected[:, :-1]
            fed = torch.cat(self._ids, dim=1)[:, : expected.shape[1]].cpu()
            if fed.shape == expected.shape and not ((fed != expected) & (expected >= 0) & (following >= 0)).any():
                return
        raise RuntimeError(
            f"sampling fed the policy {sum(part.shape[1] for part in self._ids)} tokens of batches of {sorted(sizes)}, "
            f"and these are not the prompts and completions of {len(expected)} sequences: their depths cannot be told. "
            "Sample with plain `generate` (no guidance, no assistant model) to train at the sampled depths."
        )


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
    first = trace.first(min(trace.depth.shape[1], length))
    missing = (len(first.depth), length - first.depth.shape[1])
    if not missing[1]:
        return first
    rest = DepthTrace(
        first.depth.new_ones(missing),
        first.residual.new_zeros(missing),
        first.reason.new_zeros(missing),
        first.damping.new_zeros(missing),
        first.policy,
    )
    return DepthTrace.join([first, rest])
