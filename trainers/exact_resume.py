"""Resume where TRL goes astray: the order of prompts in later epochs, and checkpoints in the middle of a generation.

TRL's sampler draws a new order each epoch from a generator that starts anew with the process, so a run that is resumed
in its third epoch goes through the prompts in the first one's order. And rollouts may serve several optimizer steps
(``num_iterations``, ``steps_per_generation``): a checkpoint between two of them holds none, so a resumed run samples
again, out of turn. Here both are kept with the checkpoint, and a resumed run is the run that was not interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl.trainer.utils import RepeatSampler

from vpo.looped.depth import POLICIES, as_policy, to_dict

logger = logging.getLogger(__name__)


class _RememberingSampler(RepeatSampler):
    """TRL's sampler, which also knows the state that the present epoch's order was drawn from."""

    before: Tensor | None = None

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.before = self.generator.get_state()
        yield from super().__iter__()


class ExactResume:
    """Mixin for :class:`trl.GRPOTrainer` and its subclasses."""

    args: Any
    accelerator: Any
    state: Any
    num_iterations: int

    _step: int
    _buffered_inputs: Any
    _policy: Any = None  # the depth policy that sampled them, of a looped model
    _sampler: _RememberingSampler | None = None

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(dataset)  # type: ignore[misc]
        if type(sampler) is RepeatSampler and sampler.shuffle:
            sampler.__class__ = _RememberingSampler
            self._sampler = sampler
        return sampler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self.args.save_only_model:
            return
        run = Path(self._get_output_dir(trial=trial))  # type: ignore[attr-defined]
        folder = run / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)
        is_in_use = bool(self._step % (self.args.steps_per_generation * self.num_iterations))
        if is_in_use and not (self._policy is None or type(self._policy) in POLICIES.values()):
            is_in_use = False
            logger.warning(
                "%s is no policy of vpo.looped.depth and is not saved: a resumed run samples again.", self._policy
            )
        rollouts = {
            "step": self._step,
            "processes": self.accelerator.num_processes,
            "rollouts": self._buffered_inputs if is_in_use else None,
            "depth_policy": to_dict(self._policy) if is_in_use and self._policy is not None else None,
        }
        torch.save(rollouts, self._rollouts_in(folder))
        if self.args.should_save and self._sampler is not None and self._sampler.before is not None:
            is_epoch_over = float(self.state.epoch).is_integer()
            order = self._sampler.generator.get_state() if is_epoch_over else self._sampler.before
            torch.save(order, _order_in(folder))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is None:
            return
        if self._sampler is not None and _order_in(Path(checkpoint)).is_file():
            self._sampler.generator.set_state(torch.load(_order_in(Path(checkpoint)), weights_only=True))
        path = self._rollouts_in(Path(checkpoint))
        if not path.is_file():
            return  # of a run without this mixin, or of fewer processes
        content = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        if content["processes"] != self.accelerator.num_processes:
            logger.warning(
                "the checkpoint was written by %d processes and %d go on: rollouts that it holds cannot be divided "
                "anew, so the run samples again.",
                content["processes"],
                self.accelerator.num_processes,
            )
            return
        self._step, self._buffered_inputs = content["step"], content["rollouts"]
        if content["depth_policy"] is not None:
            self._policy = as_policy(content["depth_policy"])

    def _rollouts_in(self, checkpoint: Path) -> Path:
        return checkpoint / f"rollouts_{self.accelerator.process_index}.pt"


def _order_in(checkpoint: Path) -> Path:
    return checkpoint / "prompt_order.pt"
