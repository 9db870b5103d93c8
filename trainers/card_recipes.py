"""The recipe of a trained model, as its card shows it: what each trainer of ours was set to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vpo.model_card import Table


def recipe_tables(trainer: Any) -> list[Table]:
    """Settings of the method, rewards if there are any, and settings of optimisation."""
    method = _METHODS.get(trainer._name, lambda _: [])
    return [Table("Recipe", method(trainer)), *_rewards(trainer), Table("Optimisation", _optimisation(trainer))]


def _vpo(trainer: Any) -> list[list[Any]]:
    args = trainer.args
    rows = [
        ["objective", _with_options(args.objective, args.objective_options)],
        ["answers in a completion", args.num_answers],
        ["completions of a prompt", args.num_generations],
    ]
    if args.objective == "vpo":
        law = f"{args.weighting}, {args.num_weightings} drawn ({args.weighting_method}), centre {args.weighting_center}"
        rows.append(["weightings", law + (f", alpha {args.alpha}" if args.weighting == "dirichlet" else "")])
    if args.diversity is not None:
        rows.append(["diversity term", _with_options(args.diversity, args.diversity_options)])
    if args.answer_credit != "set":
        rows.append(["credit of an answer", f"{args.answer_credit}, share {args.answer_credit_share:g}"])
    rows += [
        ["sampling", f"temperature {args.temperature:g}, top_p {args.top_p:g}, top_k {args.top_k}"],
        ["longest completion, tokens", args.max_completion_length],
        ["KL to the initial model (beta)", args.beta],
        ["clip range (epsilon)", args.epsilon],
        ["loss", args.loss_type],
        ["completion tokens generated", trainer.token_budget.generated or None],
    ]
    return rows


def _healing(trainer: Any) -> list[list[Any]]:
    args = trainer.args
    names: tuple[str, ...] = (
        "cap",
        "max_loops",
        "ramp",
        "ramp_share",
        "depth_sampler",
        "grad_loops",
        "distill_temperature",
        "alpha",
    )
    names += ("early_weight", "consistency_weight", "jacobian_weight")
    teacher = trainer.accelerator.unwrap_model(trainer.teacher)
    name = getattr(teacher.config, "_name_or_path", "") or type(teacher).__name__
    return [["teacher", name.rstrip("/").rsplit("/", 1)[-1]], *([name, getattr(args, name)] for name in names)]


def _gate(trainer: Any) -> list[list[Any]]:
    return [
        ["method", trainer.method],
        ["loops that are read out (cap)", trainer.cap],
        ["weight", trainer.gate_weight],
        ["entropy of the gate", trainer.gate_entropy],
    ]


_METHODS: Mapping[str, Callable[[Any], list[list[Any]]]] = {"VPO": _vpo, "Healing": _healing, "Gate": _gate}


def _rewards(trainer: Any) -> list[Table]:
    rewards = getattr(trainer, "vector_reward", None)
    if rewards is None:
        return []
    names = rewards.components
    if not names:  # none was computed yet
        rows = [[adapter.__name__, None] for adapter in rewards.adapters]
    else:
        rows = [[name, weight] for name, weight in zip(names, trainer.w_star(len(names)).tolist(), strict=True)]
    note = "w\\* are the weights of deployment; training draws others." if trainer.args.objective == "vpo" else ""
    return [Table("Rewards", rows, ["component", "w\\*"], note)]


def _optimisation(trainer: Any) -> list[list[Any]]:
    args, state = trainer.args, trainer.state
    rows = [
        ["steps", state.global_step],
        ["epochs", state.epoch],
        ["learning rate", args.learning_rate],
        ["schedule", str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))],
        ["weight decay", args.weight_decay],
        ["batch of a device", args.per_device_train_batch_size],
        ["accumulated batches", args.gradient_accumulation_steps],
        ["processes", trainer.accelerator.num_processes],
        ["precision", "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"],
        ["seed", args.seed],
    ]
    adapters = getattr(trainer.accelerator.unwrap_model(trainer.model), "peft_config", None) or {}
    return rows + [[f"adapter {name}", _adapter(each)] for name, each in adapters.items()]


def _adapter(config: Any) -> str:
    rank = f", rank {config.r}" if hasattr(config, "r") else ""
    return str(getattr(config.peft_type, "value", config.peft_type)) + rank


def _with_options(name: str, options: Any) -> str:
    return name + (f" {options}" if options else "")
