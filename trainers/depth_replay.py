"""Reinforcement learning at the sampled depths: what makes adaptive depth exact in TRL's GRPO trainers.

A looped policy that halts by itself is, at each token, the distribution at the depth it chose. So the depths of a
rollout are recorded while it is sampled, ride through TRL's buffers, and old, reference and current log-probabilities
are computed at those depths. Without that the ratio compares two different policies, and TRL cannot show it: without
vLLM it takes old log-probabilities from the training pass itself, so the ratio reads 1 whatever was sampled from.

Shape letters: B completions of this process, P prompt tokens, C completion tokens, T = P + C.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from accelerate.utils import gather
from torch import Tensor

from trainers.depth_metrics import DriftProbe, depth_metrics
from trainers.depth_recorder import SampledDepths, record_depths
from trainers.depth_sum import sum_over_loops
from trainers.vllm_depths import keep_depths, sampled_depths
from vpo.looped import DepthPolicy, FixedDepth, RandomDepth, Replay, looped_policy
from vpo.looped.depth import DepthTrace

logger = logging.getLogger(__name__)
_UNAFFECTED = (FixedDepth, RandomDepth)  # depths that do not depend on the weights
_MAX_GAP = {torch.float32: 1e-3, torch.float64: 1e-6}  # nats between sampled and replayed
_MAX_GAP_IN_HALF_PRECISION = 0.5


class DepthReplay:
    """Mixin for :class:`trl.GRPOTrainer` and its subclasses; does nothing for a policy without a loop.

    Reads ``args.depth_training``: ``"replay"`` (default), ``"fixed"`` (train at the cap), ``"live"`` (decide the depths
    anew in every training pass), or ``"sum"`` (RLTT, 2602.10520: the log-probabilities after every loop up to the
    sampled depth, averaged with weights ``t ** args.depth_sum_power``).
    """

    args: Any
    accelerator: Any
    model: Any
    state: Any
    temperature: float
    vllm_generation: Any

    _metrics: Any

    _sampled: SampledDepths | None = None  # of the batch that is being generated and scored
    _replayed: SampledDepths | None = None  # of the log-probabilities that are asked for next
    _policy: DepthPolicy | None = None  # that sampled the batch in the buffers
    _eval_policy: DepthPolicy | None = None
    _drift: DriftProbe | None = None
    _is_generating = False
    _gap_warned = False
    _last_logps: Tensor | None = None

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        policy = self._looped(self.model)
        if policy is None:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        if self._sampled is not None:
            raise RuntimeError(
                "a second turn was generated for the same batch (tools?): the depths of several turns cannot be joined "
                "yet. Train a looped policy on single turns."
            )
        if self.args.use_vllm:
            return self._generate_with_vllm(policy, prompt_ids, *args, **kwargs)
        with record_depths(policy, self.temperature) as recorder:
            completion_ids, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        if self._is_generating:  # else somebody samples beside training, and no batch is to be trained at these depths
            longest = max(len(ids) for ids in prompt_ids)
            self._sampled = recorder.result(prompt_ids, completion_ids, self._padded(longest))
        return completion_ids, logprobs

    def _generate_with_vllm(self, policy: Any, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        engine, depth_policy = self.vllm_generation.llm, policy.depth_policy
        if engine.depth_policy != depth_policy:
            raise RuntimeError(
                f"the policy's depth is decided by {depth_policy} now, and the vLLM engine was started with "
                f"{engine.depth_policy}: set depth_policy before the trainer is built, or sample with transformers."
            )
        with keep_depths(engine) as rows:
            completion_ids, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        if self._is_generating:
            length = self._padded(max(len(ids) for ids in prompt_ids))
            self._sampled = sampled_depths(rows, logprobs, depth_policy, prompt_ids, length, self.accelerator.device)
        return completion_ids, logprobs

    def _padded(self, length: int) -> int:
        multiple = getattr(self, "pad_to_multiple_of", None)
        return length if not multiple else -(-length // multiple) * multiple

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Any:
        """Give reward functions ``loop_depth``, the mean depth of each completion, and ``loop_cap``."""
        if self._sampled is not None:
            depth = self._sampled.of_completion(self._sampled.trace.depth).tolist()
            inputs = [
                {**row, "loop_depth": sum(d[: len(ids)]) / max(len(ids), 1), "loop_cap": self._sampled.policy.cap}
                for row, d, ids in zip(inputs, depth, completion_ids_list, strict=True)
            ]
        return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)  # type: ignore[misc]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self._sampled = None
        self._measure_drift()
        self._is_generating = True
        try:
            output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
            sampled: SampledDepths | None = self._sampled  # set by the generation inside
        finally:
            self._is_generating, self._sampled = False, None
        if sampled is None:
            return output
        mode = "train" if self.model.training else "eval"
        width = output["prompt_ids"].shape[1] + output["completion_ids"].shape[1]
        output["loop_depths"] = _fit(sampled.trace.depth, width, 1)
        output["loop_damping"] = _fit(sampled.trace.damping, width, 0)
        output["sampled_logps"] = _fit(sampled.logps, output["completion_ids"].shape[1], 0.0)
        steps = torch.full((len(sampled.logps),), self.state.global_step, device=sampled.logps.device)
        output["sampled_at_step"] = steps
        metrics = depth_metrics(sampled, output["completion_mask"], output["prompt_mask"])
        for name, value in metrics.reduce(gather).items():
            self._metrics[mode][name].append(value)
        if mode == "train":
            self._policy = sampled.policy
            if self.args.depth_drift_rows and not isinstance(sampled.policy, _UNAFFECTED):
                self._drift = DriftProbe.of(output, sampled.policy, self.args.depth_drift_rows)
        else:
            self._eval_policy = sampled.policy
        return output

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        if "loop_depths" not in inputs:
            return super()._compute_loss(model, inputs)  # type: ignore[misc]
        depths, zeros = inputs["loop_depths"], torch.zeros_like(inputs["loop_depths"])
        policy = self._policy if self.model.training else self._eval_policy
        assert policy is not None  # set when the batch was generated
        trace = DepthTrace(depths, zeros, zeros, inputs["loop_damping"], policy)
        self._replayed = SampledDepths(trace, inputs["sampled_logps"], policy)
        try:
            loss = super()._compute_loss(model, inputs)  # type: ignore[misc]
        finally:
            self._replayed = None
        self._compare(inputs)
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        ask = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        sampled = self._replayed or self._sampled
        policy = self._looped(model)
        if sampled is None or policy is None:
            return ask(model, input_ids, attention_mask, logits_to_keep, batch_size, **kwargs)
        trace = sampled.trace
        depths, damping = (_fit(t, input_ids.shape[1], d) for t, d in ((trace.depth, 1), (trace.damping, 0)))
        parts = []
        for start in range(0, len(input_ids), batch_size or len(input_ids)):
            rows = slice(start, start + (batch_size or len(input_ids)))
            replay = Replay(depths[rows], damping[rows], sampled.policy)
            batch = (model, input_ids[rows], attention_mask[rows], logits_to_keep)
            if self.args.depth_training == "sum":
                with self.accelerator.autocast():
                    parts.append(sum_over_loops(*batch, replay, self.temperature, self.args.depth_sum_power, policy))
            else:
                with policy.at_depth(self._training_depth(replay, sampled.policy)):
                    parts.append(ask(*batch, None, **kwargs))
        logps, entropies, aux_losses = zip(*parts, strict=True)
        joined = torch.cat(logps)
        self._last_logps = joined.detach()
        return (
            joined,
            None if entropies[0] is None else torch.cat(entropies),
            None if aux_losses[0] is None else torch.stack(aux_losses).mean(),
        )

    def _training_depth(self, replay: Replay, policy: DepthPolicy) -> DepthPolicy:
        if isinstance(policy, FixedDepth):
            return policy  # the record would say the same, at the cost of reading it
        if self.args.depth_training == "replay":
            return replay
        return policy if self.args.depth_training == "live" else FixedDepth(policy.cap)

    def _looped(self, model: Any) -> Any | None:
        return looped_policy(self.accelerator.unwrap_model(model))

    def _measure_drift(self) -> None:
        """Share of tokens of the last batch whose depth would now be another, after the updates since."""
        if self._drift is None or not self.model.training:
            return
        differ, count = self._drift.measure(self.model)
        totals = gather(torch.tensor([[differ, count]], device=self.accelerator.device)).sum(0)
        self._metrics["train"]["loops/depth_drift"].append((totals[0] / totals[1].clamp(min=1)).item())
        self._drift = None

    def _compare(self, inputs: Any) -> None:
        """Log how far sampled and training log-probabilities are apart, while the weights are those of sampling."""
        if self._last_logps is None or bool((inputs["sampled_at_step"] != self.state.global_step).any()):
            return
        mask = inputs["completion_mask"].bool()
        gap = (self._last_logps - inputs["sampled_logps"]).abs().masked_fill(~mask, 0.0)
        stats = gather(torch.stack([gap.max(), gap.sum(), mask.sum().float()])[None])
        largest, mean = stats[:, 0].max().item(), (stats[:, 1].sum() / stats[:, 2].sum().clamp(min=1)).item()
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["sampling/replay_logp_diff/max"].append(largest)
        self._metrics[mode]["sampling/replay_logp_diff/mean"].append(mean)
        allowed = _MAX_GAP.get(next(self.model.parameters()).dtype, _MAX_GAP_IN_HALF_PRECISION)
        if self.accelerator.mixed_precision in ("bf16", "fp16", "fp8"):
            allowed = _MAX_GAP_IN_HALF_PRECISION
        if largest > allowed and self.args.depth_training == "replay" and not self._gap_warned:
            self._gap_warned = True
            logger.warning(
                "log-probabilities replayed at the sampled depths differ from those of sampling by up to "
                f"{largest:.3g} nats: the trained policy is not the one that was sampled from. Dropout, another "
                "attention implementation in generation, or another numeric type cause this."
            )


def _fit(values: Tensor, width: int, filler: float) -> Tensor:
    """(B, T) values as (B, width): TRL may pad completions to a multiple."""
    have = values.shape[1]
    if have >= width:
        return values[:, :width]
    return torch.cat([values, values.new_full((len(values), width - have), filler)], dim=1)
