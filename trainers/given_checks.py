"""What a user gives a trainer, looked at before a model is loaded: rows, weights, trackers, a checkpoint to go on from.

TRL and transformers find these mistakes, too: later, each in its own words, and some as a KeyError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

# What installs a tracker. Not all of them: transformers does not know of each whether it is there.
_INSTALL = {"trackio": "'vpo[trackio]'", "wandb": "wandb", "tensorboard": "tensorboard", "mlflow": "mlflow"}


def check_given(args: Any, reward_funcs: Any, train_dataset: Any, eval_dataset: Any) -> None:
    """Refuse what no run could begin with.

    Args:
        args: The trainer's settings, a ``GRPOConfig``.
        reward_funcs: A reward or a list of them.
        train_dataset: Rows to train on, or None.
        eval_dataset: Rows to evaluate on, several such by name, or None.

    Raises:
        ValueError: A dataset has no rows or no prompts; there is not one weight a reward function; or a tracker does
            not exist or is not installed.
    """
    _check_rows(train_dataset, "train_dataset")
    _check_rows(eval_dataset, "eval_dataset")
    weights, num_rewards = args.reward_weights, len(reward_funcs) if isinstance(reward_funcs, (list, tuple)) else 1
    if weights is not None and len(weights) != num_rewards:
        raise ValueError(
            f"reward_weights has {len(weights)} entries, and {num_rewards} reward function(s) are given: expected one "
            "weight a function. Where a function returns several components, component_weights weighs each of them."
        )
    _check_trackers([args.report_to] if isinstance(args.report_to, str) else args.report_to or [])


def check_resume(checkpoint: str | bool | None, output_dir: str | None) -> None:
    """Refuse a checkpoint to go on from that is none.

    Args:
        checkpoint: A folder; True for the newest in ``output_dir``; None to begin anew.
        output_dir: The run's folder.

    Raises:
        ValueError: There is none, or its folder is none of a whole checkpoint.
    """
    if checkpoint is None or checkpoint is False:
        return
    newest = get_last_checkpoint(output_dir) if output_dir and Path(output_dir).is_dir() else None
    if checkpoint is True:
        if newest is None:
            raise ValueError(
                f"resume_from_checkpoint is True, and {output_dir} holds no checkpoint: expected a folder "
                "checkpoint-NUMBER in it. Leave it out to begin anew."
            )
        checkpoint = newest
    if not (Path(str(checkpoint)) / TRAINER_STATE_NAME).is_file():
        hint = f"The newest of this run is {newest}." if newest else "Leave it out to begin anew."
        raise ValueError(
            f"resume_from_checkpoint is {str(checkpoint)!r}: expected the folder of a whole checkpoint, with "
            f"{TRAINER_STATE_NAME} in it, such as runs/x/checkpoint-20. {hint}"
        )


def _check_rows(dataset: Any, name: str) -> None:
    if isinstance(dataset, Mapping):
        for part, rows in dataset.items():
            _check_rows(rows, f"{name}[{part!r}]")
        return
    columns = getattr(dataset, "column_names", None)  # None where a stream does not know them
    if hasattr(dataset, "__len__") and len(dataset) == 0:
        raise ValueError(f"{name} has no rows: expected one at least. Check where it is made, and what was left out.")
    if columns is not None and "prompt" not in columns:
        raise ValueError(
            f"{name} has the columns {', '.join(columns)}: expected one named prompt, with text or chat messages. "
            f"Rename what is asked, as dataset.rename_column({next(iter(columns), 'question')!r}, 'prompt')."
        )


def _check_trackers(names: Sequence[str]) -> None:
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise ValueError(
                f"report_to names {name!r}: expected some of {', '.join(sorted(INTEGRATION_TO_CALLBACK))}, or none."
            )
        if name in _INSTALL and name not in get_available_reporting_integrations():
            raise ValueError(
                f"report_to names {name!r}, which is not installed: expected it in this environment (pip install "
                f"{_INSTALL[name]}), or report_to: none."
            )
