"""Healing: a converted model learns to make use of its loops, taught by the model that it was made from.

The student is distilled from its source (KL at a temperature, plus the cross-entropy on the labels) at a depth that is
drawn for each sequence, around a mean that rises over training (2511.07384). Optionally a random earlier loop is read
out and distilled as well, so that stopping early is usable, and the exit state is asked to change little under one more
pass. This is TRL's ``SFTTrainer`` with another loss; the logits of neither model are ever held in full.

Shape letters: B sequences, T tokens, N tokens that are trained on, H width, V vocabulary.
"""

from __future__ import annotations

import math
import random
from typing import Any, ClassVar

import torch
from accelerate.utils import gather
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from trl import SFTTrainer
from trl.kernels import ChunkedLogProbFunction
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
from trl.models import prepare_deepspeed, prepare_fsdp
from trl.models.utils import _ForwardRedirection

from trainers.healing_config import HealingConfig
from trainers.model_cards import ModelCards
from trainers.warm_start import without_loop_parameters
from vpo.checkpoints import check_checkpoint
from vpo.looped import FixedDepth, RandomDepth, looped_policy
from vpo.looped.consistency import Lookahead
from vpo.looped.depth import DepthPolicy, Halter, HaltReason, LoopCall, LoopStep
from vpo.looped.stability import jacobian_penalty, loop_map

_VOCABULARY_CHUNK = 32768  # TRL's own, for the log-probabilities


class HealingTrainer(ModelCards, SFTTrainer):
    """Trainer that heals a converted model.

    The model's own depth policy is not touched: it is what evaluation of checkpoints and callbacks use, and what is
    saved. Choose it after healing, with ``vpo depth calibrate`` or by hand.

    Args:
        model: A looped model, or the folder of one.
        teacher: The model that it was converted from, or its name; is frozen.
        args: Settings.
        **kwargs: Everything else that ``SFTTrainer`` takes.

    Raises:
        ValueError: The model has no loop, the teacher is missing, is the student itself, or has another vocabulary, or
            an adapter sits where the loss does not look.
    """

    _tag_names: ClassVar[list[str]] = ["trl", "vpo", "healing"]
    _name = "Healing"

    args: HealingConfig

    def __init__(
        self,
        model: Any,
        teacher: PreTrainedModel | str | None = None,
        args: HealingConfig | None = None,
        **kwargs: Any,
    ) -> None:
        if teacher is None or teacher is model:
            raise ValueError(
                f"the teacher is {'missing' if teacher is None else 'the student itself'}: pass the model that the "
                "student was converted from, as teacher=."
            )
        if kwargs.get("compute_loss_func") is not None:
            raise ValueError(
                "compute_loss_func was given, but healing has a loss of its own: use SFTTrainer for yours."
            )
        args = HealingConfig("healing-output") if args is None else args
        super().__init__(model=model, args=args, **kwargs)
        student = looped_policy(self.accelerator.unwrap_model(self.model))
        if student is None:
            raise ValueError(f"{type(self.model).__name__} has no loop: convert it first, with vpo.looped.convert.")
        _check_adapters(self.model)
        if args.jacobian_weight and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise ValueError(
                "jacobian_weight needs whole parameters on every process: leave it at 0 under FSDP and DeepSpeed."
            )
        self._redirect = _ForwardRedirection()  # a backbone called directly must pass through DDP's or FSDP's wrapper
        self.teacher = self._prepare_teacher(teacher, student)

    def _prepare_teacher(self, teacher: PreTrainedModel | str, student: Any) -> Any:
        if isinstance(teacher, str):
            check_checkpoint(teacher)
            given: Any = self.args.teacher_model_init_kwargs or {}  # its JSON was parsed before
            options = {"dtype": student.dtype, "use_safetensors": True} | given
            teacher = AutoModelForCausalLM.from_pretrained(teacher, **options)
        elif self.args.teacher_model_init_kwargs is not None:
            raise ValueError("teacher_model_init_kwargs are for a teacher given by name; this one is a model already.")
        rows = None if (head := teacher.get_output_embeddings()) is None else head.weight.shape[0]
        if rows != student.get_output_embeddings().weight.shape[0]:
            raise ValueError(
                f"the teacher predicts {rows} tokens and the student {student.config.vocab_size}: expected the same "
                "vocabulary. Pass the model that the student was converted from."
            )
        teacher.requires_grad_(False).eval()
        if self.is_deepspeed_enabled:
            return prepare_deepspeed(teacher, self.accelerator)
        if self.is_fsdp_enabled:
            return prepare_fsdp(teacher, self.accelerator)
        return self.accelerator.prepare_model(teacher, evaluation_mode=True)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Without what holds the loop stable."""
        return without_loop_parameters(super().get_decay_parameter_names(model), model)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The healing loss, per trained token; in evaluation at a fixed depth of ``cap``."""
        student = self.accelerator.unwrap_model(model)
        sums: dict[str, Tensor] = self._redirect(model, student, self._sums, student, inputs)
        count = sums["tokens"] if num_items_in_batch is None else num_items_in_batch
        args = self.args
        loss = (
            args.distill_temperature**2 * (sums["kl"] + args.early_weight * sums["early_kl"])  # Hinton's scaling
            + args.alpha * sums["cross_entropy"]
            + args.consistency_weight * sums["consistency"]
            + args.jacobian_weight * sums["jacobian"]
        ) / torch.as_tensor(count, device=sums["kl"].device).clamp(min=1)
        if args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * (self.accelerator.num_processes // self.get_tp_size())  # DDP averages over the processes
        self._note(sums, inputs)
        if not return_outputs:
            return loss
        with torch.no_grad():
            outputs = model(**{k: v for k, v in inputs.items() if k != "labels"}, num_loops=args.cap, use_cache=False)
        return loss, outputs

    def _sums(self, student: nn.Module, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Every term of the loss, and what is logged, summed over this process's tokens."""
        looped = looped_policy(student)
        assert looped is not None  # checked in the constructor
        fields = {key: value for key, value in inputs.items() if key != "labels"} | {"use_cache": False}
        following = inputs["labels"][:, 1:]
        mask = following != -100
        policy, lookahead, early = self._depth()
        with self.accelerator.autocast():
            output = looped.model(**fields, depth_policy=policy, head=None if early is None else _unchanged)
            teacher = self.accelerator.unwrap_model(self.teacher)
            with torch.no_grad():
                target = self._redirect(self.teacher, teacher, _last_hidden, teacher, fields)[:, :-1]
            depth = output.loop_depths[:, :-1] - int(lookahead is not None)
            heads = _whole(looped.get_output_embeddings().weight), _whole(teacher.get_output_embeddings().weight)
            hidden = output.last_hidden_state[:, :-1]
            sums = self._readout_sums(hidden[mask], target[mask], following[mask], heads)
            sums["early_kl"] = sums["consistency"] = sums["jacobian"] = torch.zeros((), device=hidden.device)
            if early is not None and early.hidden is not None:
                deeper = mask & (depth > early.loop)
                readout = early.hidden[:, :-1].to(hidden.dtype)
                sums["early_kl"] = self._divergence(readout[deeper], target[deeper], heads)
            if lookahead is not None:
                kept = nn.functional.pad(mask, (0, 1))  # the last token predicts nothing
                sums["consistency"] = lookahead.loss(kept) * mask.sum()
            if self.args.jacobian_weight and self.model.training:
                sums["jacobian"] = self._stretch(looped, inputs) * mask.sum()
        return sums | {"tokens": mask.sum(), "loops": depth[mask].sum()}

    def _stretch(self, looped: Any, inputs: dict[str, Any]) -> Tensor:
        """Mean squared singular value of the loop's Jacobian around the state after ``cap`` loops."""
        loop = loop_map(looped, inputs["input_ids"], inputs.get("attention_mask"))
        with torch.no_grad():
            state = loop.trajectory(self.args.cap)[-1]
        return jacobian_penalty(loop, state, mask=loop.mask)

    def _depth(self) -> tuple[DepthPolicy, Lookahead | None, _EarlyReadout | None]:
        """The depth policy of this forward pass, and what is to be read from it."""
        if not self.model.training:
            return FixedDepth(self.args.cap), None, None
        progress = self.state.global_step / max(1, self.state.max_steps)
        drawn: RandomDepth = self.args.depth_at(progress)
        lookahead = Lookahead(drawn) if self.args.consistency_weight else None
        policy: DepthPolicy = lookahead or drawn
        if not self.args.early_weight or drawn.high == 1:
            return policy, lookahead, None
        # The same loop on every process: under FSDP all must call the coda equally often. And a function of the step.
        below = max(1, math.ceil(self.args.mean_depth(progress)) - 1)
        loop = random.Random(f"vpo-early-{self.args.seed}-{self.state.global_step}").randint(1, below)
        early = _EarlyReadout(policy, loop)
        return early, lookahead, early

    def _readout_sums(
        self, hidden: Tensor, target: Tensor, labels: Tensor, heads: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """KL and cross-entropy of (N, H) hidden states, and what TRL logs of them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.args.alpha > 0):
            logprobs, entropy, _, _, is_top1 = ChunkedLogProbFunction.apply(
                hidden, heads[0], None, labels, 1.0, _VOCABULARY_CHUNK, None, 1.0, ("entropy", "is_top1")
            )
        return {
            "kl": self._divergence(hidden, target, heads),
            "cross_entropy": -logprobs.sum(),
            "entropy": entropy.detach().sum(),
            "hits": is_top1.sum(),
        }

    def _divergence(self, hidden: Tensor, target: Tensor, heads: tuple[Tensor, Tensor]) -> Tensor:
        """Sum over tokens of KL(teacher || student) at the temperature, from (N, H) states; V is taken in chunks."""
        forward_kl, temperature = 0.0, self.args.distill_temperature
        each, _ = ChunkedDivergenceFunction.apply(
            hidden, heads[0], None, target, heads[1], None, forward_kl, temperature
        )
        return each.sum()

    def _note(self, sums: dict[str, Tensor], inputs: dict[str, Any]) -> None:
        """Log means over the tokens of all processes, under TRL's names where it has one."""
        names = list(sums)
        own = torch.stack([sums[name].detach().double() for name in names])
        real = (
            inputs["attention_mask"].sum()
            if "attention_mask" in inputs
            else inputs["input_ids"].new_tensor(inputs["input_ids"].numel())
        )
        totals = gather(torch.cat([own, real.double()[None]])[None]).sum(0).tolist()
        total = dict(zip([*names, "real"], totals, strict=True))
        mode = "train" if self.model.training else "eval"
        tokens = max(total["tokens"], 1)
        metrics = self._metrics[mode]
        shown = {
            "kl": "kl",
            "cross_entropy": "cross_entropy",
            "entropy": "entropy",
            "hits": "mean_token_accuracy",
            "loops": "depth",
        }
        if mode == "train":
            shown |= {"early_kl": "early_kl"} if self.args.early_weight else {}
            shown |= {"consistency": "consistency"} if self.args.consistency_weight else {}
            shown |= {"jacobian": "jacobian"} if self.args.jacobian_weight else {}
            self._total_train_tokens += int(total["real"]) // self._tp_size
        for name, title in shown.items():
            metrics[title].append(total[name] / tokens)
        metrics["num_tokens"] = [self._total_train_tokens]


class _EarlyReadout:
    """A depth policy that also reads out the state after one loop: ``hidden`` (B, T, H), None if no token got there."""

    kind: ClassVar[str] = "early_readout"

    def __init__(self, policy: DepthPolicy, loop: int) -> None:
        self.policy, self.loop = policy, loop
        self.hidden: Tensor | None = None

    @property
    def cap(self) -> int:
        return self.policy.cap

    def start(self, call: LoopCall) -> Halter:
        self.hidden = None
        return _Reading(self, self.policy.start(call), call)


class _Reading(Halter):
    def __init__(self, owner: _EarlyReadout, inner: Halter, call: LoopCall) -> None:
        super().__init__(call)
        self.owner, self.inner = owner, inner
        self.planned, self.gradient_from = inner.planned, inner.gradient_from

    def advance(
        self, step: LoopStep, residual: Tensor, forced: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | HaltReason]:
        if step.loop + 1 == self.owner.loop:
            assert step.readout is not None  # the trainer passes a head
            self.owner.hidden = step.readout(step.new)
        return self.inner.advance(step, residual, forced)


def _unchanged(hidden: Tensor) -> Tensor:
    """In the place of the head: the loss projects in chunks."""
    return hidden


def _last_hidden(model: Any, fields: dict[str, Any]) -> Tensor:
    return model.base_model(**fields).last_hidden_state


def _whole(weight: Tensor) -> Tensor:
    """The weight, gathered once if FSDP2 has sharded it."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def _check_adapters(model: Any) -> None:
    """Refuse adapters that the loss, which calls the backbone and reads the head's weight, would leave out."""
    for config in getattr(model, "peft_config", {}).values():
        if getattr(config, "is_prompt_learning", False):
            raise ValueError(
                f"{type(config).__name__} puts virtual tokens before the backbone, which the loss calls directly: use "
                "an adapter of the weights, LoRA for instance."
            )
