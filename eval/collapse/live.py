"""What a TRL trainer has just sampled: from our rollout log where it writes one, else from TRL's own buffers.

TRL's callbacks are not handed completions. Its online trainers (GRPO, RLOO, and what derives from them) keep those of
the last generation batch in ``_logs``, gathered from all processes, whether or not they are printed; that is private,
which is why TRL is pinned. The buffers know neither lengths in tokens nor why a completion ended: for those, log
rollouts.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from eval.samples import Samples
from vpo.weightings import prompt_key

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_completion_length")


class TrainerFeed:
    """Samples of a trainer, a batch at a time.

    Args:
        trainer: A TRL online trainer.

    Raises:
        TypeError: The trainer keeps no completions.
    """

    def __init__(self, trainer: Any) -> None:
        logs = getattr(trainer, "_logs", None)
        if not isinstance(logs, dict) or not {"prompt", "completion", "rewards"} <= logs.keys():
            raise TypeError(
                f"{type(trainer).__name__} keeps no completions that a callback can read: expected one of TRL's online "
                "trainers, such as GRPOTrainer or RLOOTrainer. For others write a log of samples and use `vpo monitor`."
            )
        self.trainer = trainer
        self._seen: tuple[Any, ...] = ()

    def new(self) -> Samples | None:
        """The last generation batch, if it was not given before; a batch that is used for several steps comes once."""
        logs = self.trainer._logs
        prompts, completions = list(logs["prompt"]), list(logs["completion"])
        if not completions:
            return None
        # The objects themselves are held, so that another batch cannot have the same ones.
        marks = (prompts[0], completions[0], completions[-1])
        if len(marks) == len(self._seen) and all(a is b for a, b in zip(marks, self._seen, strict=True)):
            return None
        self._seen = marks
        return self._samples(prompts, completions, logs["rewards"])

    def sampling(self) -> dict[str, Any]:
        """How the trainer samples, as :attr:`~eval.samples.Samples.sampling` wants it."""
        args, tokenizer = self.trainer.args, self.trainer.processing_class
        found = {name: getattr(args, name) for name in _SAMPLING if getattr(args, name, None) is not None}
        template = getattr(tokenizer, "chat_template", None)
        if template:
            found["template"] = hashlib.blake2b(str(template).encode(), digest_size=6).hexdigest()
        return found

    def _samples(self, prompts: list[Any], completions: list[Any], rewards: Any) -> Samples:
        state = self.trainer.state
        names = tuple(name for name in rewards if len(rewards[name]) == len(completions))
        columns = [[np.nan if value is None else float(value) for value in rewards[name]] for name in names]
        return Samples(
            step=max(state.global_step - 1, 0),  # drawn before the step that has just ended
            epoch=None if state.epoch is None else float(state.epoch),
            prompt_ids=[f"{prompt_key(prompt):016x}" for prompt in prompts],
            texts=[_text(completion) for completion in completions],
            rewards=np.array(columns, dtype=np.float64).T if columns else np.zeros((len(completions), 0)),
            components=names,
            completions=np.arange(len(completions)),
            prompts=[prompt if isinstance(prompt, str) else json.dumps(prompt, default=str) for prompt in prompts],
            sampling=self.sampling(),
        )


def _text(completion: Any) -> str:
    """What a completion says; of chat messages the contents."""
    if isinstance(completion, str):
        return completion
    contents = [message.get("content") for message in completion]
    return "\n".join(each if isinstance(each, str) else json.dumps(each, default=str) for each in contents if each)
