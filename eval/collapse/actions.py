"""What may be done about an alarm: a diff of the trainer's own keys, with the strength of the evidence behind it.

Proposals, never applied silently. Keys are those of TRL 1.16, verl and OpenRLHF as of 2026 (OpenRLHF's older flags are
``init_kl_coef`` and ``eps_clip_low_high``). The sources disagree in places, and the cautions say where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.collapse.records import Action, Strength, Verdict

_ECHO = "Echo Chamber (arXiv 2504.07912), Fig. 3"
_CUI = "Entropy Mechanism (arXiv 2505.22617)"
_MOST_KL = 0.1  # beyond, nothing is known of what it does to formats
_KL_KEYS = {
    "trl": "beta",
    "vpo": "beta",
    "verl": "actor_rollout_ref.actor.kl_loss_coef",
    "openrlhf": "algo.kl.init_coef",
}
_CLIP_KEYS = {
    "trl": "epsilon_high",
    "vpo": "epsilon_high",
    "verl": "actor_rollout_ref.actor.clip_ratio_high",
    "openrlhf": "actor.eps_clip_low_high",  # the two bounds in one key
}
_STEP_KEYS = {"trl": "max_steps", "vpo": "max_steps", "verl": "trainer.total_training_steps"}


def suggest(verdict: Verdict, trainer: str, settings: Mapping[str, Any], step: int) -> list[Action]:
    """Actions for a verdict, best supported first; none where nothing should be done or nothing is known.

    Args:
        verdict: Of the look.
        trainer: ``trl``, ``vpo``, ``verl`` or ``openrlhf``; another one gets no diff.
        settings: The trainer's settings, as far as they are known.
        step: Of the look.
    """
    if verdict in ("no change", "nothing to collapse", "benign selection", "insufficient data"):
        return []
    if verdict == "degenerate":
        return [
            _stop(trainer, step, "Stop, and go back to a checkpoint from before the samples broke.", "derived"),
            *_kl(trainer, settings),
        ]
    if verdict == "sharpening":
        return [
            _stop(
                trainer,
                step,
                "Stop here: pass@k is flat while shares still move, so what follows redistributes what is there.",
                "moderate",
                "reproduction of Echo Chamber, 150M: pass@64 complete by step 58 of 348",
            ),
            *_kl(trainer, settings),
        ]
    found = [*_kl(trainer, settings), *_sets(trainer, settings), *_clip(trainer, settings)]
    return [*found, _stop(trainer, step, "Stop, and go back to a checkpoint from before the alarm.", "derived")]


def _kl(trainer: str, settings: Mapping[str, Any]) -> list[Action]:
    if trainer not in _KL_KEYS:
        return []
    key = _KL_KEYS[trainer]
    now = settings.get(key, settings.get("beta"))
    if isinstance(now, (int, float)) and now >= _MOST_KL:
        return []
    proposed = 0.01 if not isinstance(now, (int, float)) or now < 0.001 else min(10 * float(now), _MOST_KL)
    changes: dict[str, list[Any]] = {key: [now, round(proposed, 6)]}
    if trainer == "verl":
        changes["actor_rollout_ref.actor.use_kl_loss"] = [settings.get("actor_rollout_ref.actor.use_kl_loss"), True]
    return [
        Action(
            trainer,
            changes,
            "A stronger pull towards the base model keeps formats that it uses.",
            "moderate",
            f"{_ECHO}: .01 instead of .001 kept a second format and pass@64 at about the same pass@1",
            f"{_CUI} reports that a KL to the reference costs score: look again after some steps. In "
            "benchmarks/echo_chamber.py, a tiny model, .001 to .1 changed nothing, and 1 kept a second format.",
        )
    ]


def _sets(trainer: str, settings: Mapping[str, Any]) -> list[Action]:
    if trainer == "vpo":
        if settings.get("objective", "vpo") == "vpo" and int(settings.get("num_answers", 1)) > 1:
            options = settings.get("objective_options") or {}
            changes: dict[str, list[Any]] = {"objective_options.coverage": [options.get("coverage"), 1.0]}
        else:
            changes = {"objective": [settings.get("objective"), "vpo"], "num_answers": [settings.get("num_answers"), 3]}
    elif trainer == "trl":
        changes = {"trainer class": ["GRPOTrainer", "VPOTrainer"], "num_answers": [None, 3]}
    else:
        return []
    return [
        Action(
            trainer,
            changes,
            "Sets of answers are paid for their best one under many tastes, so that others are worth keeping.",
            "moderate",
            "VPO (arXiv 2605.22817); benchmarks/maze.py",
            "It keeps what the vector tells apart: in benchmarks/echo_chamber.py VPO moved to one format as GRPO did, "
            "until the vector named formats. The first answer by itself is a little worse than under GRPO.",
        )
    ]


def _clip(trainer: str, settings: Mapping[str, Any]) -> list[Action]:
    if trainer not in _CLIP_KEYS:
        return []
    key = _CLIP_KEYS[trainer]
    return [
        Action(
            trainer,
            {key: [settings.get(key), [0.2, 0.28] if trainer == "openrlhf" else 0.28]},
            "A wider upper clip lets rare tokens gain as fast as frequent ones.",
            "weak",
            "DAPO (arXiv 2503.14476); Clip-Low/Clip-High (arXiv 2509.26114)",
            "It can overshoot: entropy up and score down.",
        )
    ]


def _stop(trainer: str, step: int, reason: str, strength: Strength, source: str = "derived from the verdict") -> Action:
    key = _STEP_KEYS.get(trainer, "steps")
    return Action(trainer, {key: [None, step]}, reason, strength, source)
