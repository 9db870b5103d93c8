"""The stability of a looped model's loop on given text, in one report of plain numbers.

Trajectories, fresh starts and gains are means over all batches; the Jacobian, which costs hundreds of passes a state,
is looked at on a few sequences of the first batch. Nothing is printed, and the model is left as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vpo.looped.model import LoopedForCausalLM
from vpo.looped.pretrained import looped_policy
from vpo.looped.scale import rms
from vpo.looped.stability.diversity import DiversitySample
from vpo.looped.stability.gains import Gain, gain
from vpo.looped.stability.local import LocalStability, local_stability
from vpo.looped.stability.loop_map import loop_map
from vpo.looped.stability.retention import (
    ContractionCondition,
    RetentionCertificate,
    contraction_condition,
    retention_certificate,
)
from vpo.looped.stability.trajectory import Dynamics, dynamics, fresh_start_distance
from vpo.looped.stability.verdict import Finding, findings


@dataclass(frozen=True)
class StabilityReport:
    """What :func:`stability_report` found.

    Args:
        loops: L, loops that were run.
        trained_loops: Deepest loop of the model's training, as far as its configuration tells.
        num_tokens: Real tokens looked at.
        retention: The injection's certificate.
        condition: The sufficient condition for contraction after the last loop; None where it does not apply.
        per_loop: Name -> L means over tokens: the fields of :class:`~vpo.looped.stability.trajectory.Dynamics` with
            ``oscillating`` and ``rising``; ``effective_rank``, ``token_cosine``; ``fresh_start_distance`` between the
            model's first state and a random one of the same size, after as many loops; ``cross_entropy`` and ``kl``, if
            the model has a head. NaN where undefined.
        contraction: Geometric mean of the directional contraction, from the third step on; NaN for two loops.
        lyapunov: Its logarithm.
        local: The Jacobian after each loop that was asked for and is finite.
        findings: What this means, most urgent first.
        notes: What limits these numbers.
    """

    loops: int
    trained_loops: int
    num_tokens: int
    retention: RetentionCertificate
    condition: ContractionCondition | None
    per_loop: dict[str, list[float]]
    contraction: float
    lyapunov: float
    local: tuple[LocalStability, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The findings as a paragraph."""
        return " ".join(finding.text for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Everything, with the verdict, as JSON can hold it: None for what is not finite, pairs for complex numbers."""
        return {**_plain(asdict(self)), "verdict": self.verdict}


@torch.no_grad()
def stability_report(
    model: Any,
    batches: Iterable[Mapping[str, Tensor] | Tensor],
    loops: int = 8,
    *,
    tol: float = 0.05,
    jacobian_loops: Sequence[int] | None = None,
    jacobian_rows: int = 2,
    positions: int = 8,
    jacobian_options: Mapping[str, Any] | None = None,
    trained_loops: int | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> StabilityReport:
    """Study the loop of ``model`` on ``batches``.

    Args:
        model: A looped model, its backbone, or either under PEFT; looked at in ``eval`` mode.
        batches: (B, T) ``input_ids``, or mappings with ``input_ids`` and perhaps ``attention_mask``. Some thousand
            tokens are plenty.
        loops: L, at least 2; go past the trained depth to see what more loops would do.
        tol: Residual that counts as settled.
        jacobian_loops: Loops after which the Jacobian is looked at; every one by default, none with ``()``.
        jacobian_rows: Sequences of the first batch used for that.
        positions: Tokens of each of them whose own spectrum is computed.
        jacobian_options: ``derivative`` and ``eps`` for all estimates.
        trained_loops: Deepest loop in training; the cap of the model's own depth policy by default.
        dtype: As for :func:`~vpo.looped.stability.loop_map.loop_map`.
        seed: Of the fresh starts.

    Raises:
        ValueError: Fewer than two loops, no batch, no real token, or a Jacobian after a loop that is not run.
    """
    asked = tuple(range(1, loops + 1)) if jacobian_loops is None else tuple(jacobian_loops)
    if loops < 2 or any(not 1 <= loop <= loops for loop in asked):
        raise ValueError(f"loops is {loops}, jacobian_loops {asked}: expected at least 2, and loops among those run.")
    base: Any = looped_policy(model)
    certificate = retention_certificate(model)
    options = dict(jacobian_options or {})
    generator = torch.Generator().manual_seed(seed)
    moves, gains, starts, sample, local = [], [], [], DiversitySample(), []
    condition = None
    with _evaluating(base):
        for number, (ids, mask) in enumerate(_batches(batches, next(base.parameters()).device)):
            step = loop_map(model, ids, mask, dtype)
            states = step.trajectory(loops)
            moves.append(dynamics(states, step.mask))
            other = torch.randn(states[1].shape, generator=generator).to(states[1]) * rms(states[1])
            starts.append(fresh_start_distance(step, states[1], other, loops - 1, step.mask).flatten(1))
            sample.add(states[1:], step.mask)
            if isinstance(base, LoopedForCausalLM):
                gains.append(gain(base, ids, mask, loops))
            if number == 0:
                few = loop_map(model, ids[:jacobian_rows], None if mask is None else mask[:jacobian_rows], dtype)
                at = {t: states[t][:jacobian_rows] for t in asked if bool(rms(states[t])[step.mask].isfinite().all())}
                local = [local_stability(few, state, t, positions, **options) for t, state in at.items()]
                if loops in at:
                    condition = contraction_condition(few, at[loops], **options)
    if not moves or not sample.count:
        raise ValueError("batches holds no real token: expected input_ids, with 1 in the attention_mask for real ones.")
    all_moves = Dynamics.join(moves)
    contraction = all_moves.mean_contraction()
    per_loop = {
        **all_moves.per_loop(),
        **sample.per_loop(),
        "fresh_start_distance": torch.cat(starts, 1).double().nanmean(1).tolist(),
        **(Gain.join(gains).per_loop() if gains else {}),
    }
    last = local[-1] if local else None
    trained = base.depth_policy.cap if trained_loops is None else trained_loops
    seen = findings(
        per_loop,
        tol=tol,
        trained_loops=trained,
        contraction=contraction,
        radius=math.nan if last is None else max(last.radius.value, last.token_radius),
        norm=math.nan if last is None else last.norm.value,
        step_size=math.nan if last is None else last.step_size,
    )
    return StabilityReport(
        loops=loops,
        trained_loops=trained,
        num_tokens=sample.count,
        retention=certificate,
        condition=condition,
        per_loop=per_loop,
        contraction=contraction,
        lyapunov=math.log(contraction) if contraction > 0 else -math.inf if contraction == 0 else math.nan,
        local=tuple(local),
        findings=tuple(seen),
        notes=tuple(_notes(base, loops, bool(asked), jacobian_rows)),
    )


def _batches(
    batches: Iterable[Mapping[str, Tensor] | Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor | None]]:
    for batch in batches:
        ids = batch if isinstance(batch, Tensor) else batch["input_ids"]
        mask = None if isinstance(batch, Tensor) else batch.get("attention_mask")
        yield ids.to(device), None if mask is None else mask.to(device)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in ``eval`` mode, and afterwards in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _notes(base: Any, loops: int, has_local: bool, rows: int) -> Iterator[str]:
    backbone = getattr(base, "model", base)
    planes = backbone.config.cache_planes
    if planes is not None and planes < loops:
        yield (
            f"Keys and values stop refreshing at loop {planes} (cache_planes), so later loops are another map: "
            "Jacobians and fresh starts are those of the refreshing one."
        )
    if has_local:
        yield f"Jacobians are those of {rows} sequences of the first batch at most, and norms are estimates from below."
    if base is backbone:
        yield "The model has no head: no cross-entropies, and no verdict on what the loops buy."


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    return value if not isinstance(value, float) or math.isfinite(value) else None
