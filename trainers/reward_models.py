"""Reward models among the reward functions: a sequence classifier as TRL takes one, asked about single answers.

``VPOTrainer(reward_funcs=["org/reward-model", has_proof])`` is GRPOTrainer's: a model id or a model stands in the list,
``reward_processing_classes`` holds tokenizers in the same order. A model id is loaded with one label, as TRL does; a
model that was loaded with several gives as many components (a multi-objective reward model is a vector reward by
itself), where TRL reads the first and drops the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from trl import apply_chat_template
from trl.models import prepare_deepspeed
from trl.trainer.utils import get_config_model_id

from trainers.vpo_config import VPOConfig
from vpo.answers import AnswerFormat
from vpo.checkpoints import check_checkpoint


class RewardModel:
    """A reward function of TRL's kind made of a sequence classifier: the logits of prompt and answer.

    The prompt it reads is the user's, without the request for several answers, and the answer stands alone: what the
    model was trained to judge.

    Args:
        model: Sequence classifier; right padding, one logit for each of L labels.
        tokenizer: Its tokenizer; by default the one saved with the model.
        answer_format: What the prompts were asked with.
        batch_size: Answers a forward pass.
        chat_template_kwargs: For conversational prompts, as in ``GRPOConfig``.

    Attributes:
        components: Name of the model, or its L labels if there are several.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        answer_format: AnswerFormat,
        batch_size: int,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> None:
        config: Any = getattr(model, "config", None)
        if not hasattr(config, "num_labels"):
            raise TypeError(
                f"{type(model).__name__} was given as a reward: expected a sequence classifier, or a function. Load it "
                "with AutoModelForSequenceClassification."
            )
        name = get_config_model_id(config)
        self.__name__ = name.rstrip("/").split("/")[-1] or type(model).__name__
        self.model = model
        self.tokenizer = AutoTokenizer.from_pretrained(name) if tokenizer is None else tokenizer
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        # The score is read at the last token that is no padding, which the model tells by this.
        config.get_text_config().pad_token_id = self.tokenizer.pad_token_id
        labels = [config.id2label[index] for index in range(config.num_labels)]
        self.components: tuple[str, ...] = tuple(labels) if len(labels) > 1 else (self.__name__,)
        self.answer_format = answer_format
        self.batch_size = batch_size
        self.chat_template_kwargs = chat_template_kwargs or {}

    def __call__(self, prompts: list[Any], completions: list[Any], **_: Any) -> list[list[float]]:
        """L logits of each answer."""
        texts = [self._text(prompt, answer) for prompt, answer in zip(prompts, completions, strict=True)]
        scores: list[list[float]] = []
        device = next(self.model.parameters()).device
        for first in range(0, len(texts), self.batch_size):
            inputs = self.tokenizer(
                text=texts[first : first + self.batch_size],
                return_tensors="pt",
                padding=True,
                padding_side="right",
                add_special_tokens=False,
            ).to(device)
            with torch.inference_mode():
                scores += self.model(**inputs).logits.float().tolist()
        return scores

    def prepare(self, accelerator: Accelerator, with_deepspeed: bool) -> None:
        """Put the model where the policy is, as TRL does with its own reward models."""
        if not isinstance(self.model, PreTrainedModel):
            self.model = self.model.to(accelerator.device)
        elif with_deepspeed:
            self.model = prepare_deepspeed(self.model, accelerator)
        else:
            self.model = accelerator.prepare_model(self.model, evaluation_mode=True, device_placement=True)

    def _text(self, prompt: Any, answer: Any) -> str:
        prompt = self.answer_format.unask(prompt)
        if isinstance(prompt, str):
            return str(prompt + answer)
        message = {"messages": [*prompt, *answer]}
        return str(apply_chat_template(message, self.tokenizer, **self.chat_template_kwargs)["text"])


def with_reward_models(
    reward_funcs: Any, processing_classes: Any, args: VPOConfig, answer_format: AnswerFormat
) -> list[Callable[..., Any]]:
    """Make functions of the reward models in a list of rewards.

    Args:
        reward_funcs: One reward or a list: functions, models, model ids.
        processing_classes: As GRPOTrainer's ``reward_processing_classes``.
        args: The run's settings.
        answer_format: What prompts are asked with.

    Returns:
        Functions only, in the same order.

    Raises:
        ValueError: There is not one processing class a reward.
        TypeError: A module is no sequence classifier.
    """
    rewards: Sequence[Any] = reward_funcs if isinstance(reward_funcs, (list, tuple)) else [reward_funcs]
    given = processing_classes if isinstance(processing_classes, (list, tuple)) else [processing_classes]
    tokenizers = [None] * len(rewards) if processing_classes is None else list(given)
    if len(tokenizers) != len(rewards):
        raise ValueError(
            f"reward_processing_classes holds {len(tokenizers)} entries for {len(rewards)} rewards: expected one a "
            "reward, None for a function."
        )
    functions: list[Callable[..., Any]] = []
    for reward, tokenizer in zip(rewards, tokenizers, strict=True):
        if isinstance(reward, str):
            check_checkpoint(reward)
            options = {"use_safetensors": True, "trust_remote_code": args.trust_remote_code}
            options.update(args.model_init_kwargs or {})
            if args.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
                options["device_map"] = None
            reward = AutoModelForSequenceClassification.from_pretrained(reward, num_labels=1, **options)
        if isinstance(reward, nn.Module):
            size = args.per_device_train_batch_size
            reward = RewardModel(reward, tokenizer, answer_format, size, args.chat_template_kwargs)
        functions.append(reward)
    return functions
