"""Acceptance checks of the study: is the effect there, and is it not an artefact?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vpo.cli.study.settings import Settings
from vpo.cli.study.tables import PolicyCurves


@dataclass(frozen=True)
class Check:
    """A figure, its target, and whether it holds.

    Attributes:
        name: What is compared.
        figure: The measured value.
        target: The least value that is asked for.
        signed: Whether the figure is a difference.
    """

    name: str
    figure: float
    target: float
    signed: bool = True

    @property
    def ok(self) -> bool:
        """Whether the figure reaches its target."""
        return self.figure >= self.target

    @property
    def target_text(self) -> str:
        """The target as it is printed."""
        return f">= {self.target:+.2f}" if self.signed else f">= {self.target:.2f}"


def acceptance(
    curves: Mapping[str, PolicyCurves], shuffled: Mapping[str, PolicyCurves], blind: PolicyCurves, settings: Settings
) -> list[Check]:
    """Checks of one seed; needs arms named GRPO and VPO.

    The first three ask whether the policy reads its prompt at all: a policy that plays a few constant routes can show a
    beautiful difference between objectives, and scores no better than the blind control.
    """
    if not {"GRPO", "VPO"} <= set(curves):
        return []
    base, grpo, vpo = curves["base"], curves["GRPO"], curves["VPO"]
    last = settings.pool_answers
    loss_of_shuffling = min(curves[name].at(1)[0] - shuffled[name].at(1)[0] for name in ("base", "GRPO", "VPO"))
    return [
        Check("validity: GRPO best@1 over the blind control's", grpo.at(1)[0] - blind.at(1)[0], 0.15),
        Check("validity: VPO best@3 over the blind control's", vpo.at(3)[0] - blind.at(3)[0], 0.04),
        Check("validity: least loss of best@1 when prompts are shuffled", loss_of_shuffling, 0.10),
        Check("E_w[best@3]: VPO - GRPO", vpo.at(3)[1] - grpo.at(3)[1], 0.04),
        Check("E_w[best@3]: VPO - base", vpo.at(3)[1] - base.at(3)[1], 0.06),
        Check("pool L1: VPO / GRPO", vpo.pool_l1 / max(grpo.pool_l1, 1e-9), 3.0, signed=False),
        Check("completion: VPO / GRPO", vpo.valid / max(grpo.valid, 1e-9), 0.9, signed=False),
        Check(f"best@{last}: VPO - GRPO", vpo.at(last)[0] - grpo.at(last)[0], -0.01),
    ]
