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
from accelerate.utils import gather
from torch import Tensor
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

    def _save_rng_state(self, output_dir: str) -> None:
        """On every process, before the checkpoint is pushed or older ones are deleted; not for ``save_only_model``."""
        super()._save_rng_state(output_dir)  # type: ignore[misc]
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        is_in_use = bool(self._step % (self.args.steps_per_generation * self.num_iterations))
        if is_in_use and not (self._policy is None or type(self._policy) in POLICIES.values()):
            is_in_use = False
            logger.warning(
                "%s is no policy of vpo.looped.depth and is not saved: a resumed run samples again.", self._policy
            )
        rollouts = {
            "step": self._step,
            "settings": self._settings(),
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
        path, content = self._rollouts_in(Path(checkpoint)), None
        if path.is_file():
            content = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        fits = content is not None and content["settings"] == self._settings()
        # All or none: a process that goes on with its rollouts would not wait for one that samples.
        everywhere = gather(torch.tensor([int(fits)], device=self.accelerator.device))
        if content is None or not bool(everywhere.all()):
            if content is not None and content["rollouts"] is not None:
                logger.warning(
                    "the checkpoint's rollouts were divided under %s, and this run has %s: it samples again.",
                    content["settings"],
                    self._settings(),
                )
            return
        self._step, self._buffered_inputs = content["step"], content["rollouts"]
        if content["depth_policy"] is not None:
            self._policy = as_policy(content["depth_policy"])

    def _settings(self) -> dict[str, int]:
        """What the rollouts in memory were divided by."""
        return {
            "processes": self.accelerator.num_processes,
            "per_device_train_batch_size": self.args.per_device_train_batch_size,
            "steps_per_generation": self.args.steps_per_generation,
            "num_iterations": self.num_iterations,
        }

    def _rollouts_in(self, checkpoint: Path) -> Path:
        return checkpoint / f"rollouts_{self.accelerator.process_index}.pt"


def _order_in(checkpoint: Path) -> Path:
    return checkpoint / "prompt_order.pt"
