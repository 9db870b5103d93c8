"""Train from a YAML recipe or from flags, as TRL's own scripts do.

::

    accelerate launch --config_file accelerate_config.yaml -m trainers.vpo --config recipe.yaml
    python -m trainers.vpo --config recipe.yaml --learning_rate 2e-6 --dry_run

A recipe's keys are the fields of :class:`VPOScriptArguments`, :class:`~trainers.VPOConfig` and TRL's ``ModelConfig``
and ``DatasetMixtureConfig``; flags go before it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments

from trainers.end_with import end_with
from trainers.given_checks import check_resume
from trainers.recipe_data import recipe_data, short_enough
from trainers.recipe_file import RecipeParser
from trainers.trackers import no_timings_in_trackio
from trainers.vpo_config import VPOConfig
from vpo.model_folder import check_model

RUNNER = "VPO_RUNNER_PID"  # set by what starts many runs: a run ends with it


@dataclass
class VPOScriptArguments(ScriptArguments):
    r"""What to train on, beside TRL's ``dataset_name`` and its like.

    Parameters:
        task (`str`, *optional*): A task of `vpo.tasks` by name, or one of one's own as a .py file or dotted name,
            instead of a dataset and reward functions. Its w* holds unless weights are given.
        task_options (`dict[str, Any]`, *optional*): Its options.
        task_rows (`int`, *optional*, defaults to `4096`): Prompts to take of the task, or to make.
        max_prompt_tokens (`int`, *optional*): Leave out training prompts that are longer, the request for answers
            included.
        task_eval_rows (`int`, *optional*, defaults to `128`): Prompts of its test split, for evaluations; with
            `evaluate`, at most so many of a dataset's.
        reward_funcs (`list[str]`, *optional*): Reward functions: names of TRL's own, dotted paths that can be
            imported from the working directory, as `my_rewards.short`, or reward models by id or folder (anything
            with a slash). Each is a component of the vector.
        dry_run (`bool`, *optional*, defaults to `False`): Build everything, take one step, save nothing.
        monitor (`str`, *optional*): Watch for collapse, see `eval.collapse.CollapseMonitor`: `"watch"` only tells,
            `"stop"` ends training at a critical alarm, `"raise_kl"` multiplies `beta` by ten at an alarm.
        monitor_correct (`str`, *optional*): Component that says whether an answer is correct, as `correct` or
            `score>=0.5`; guessed by default.
        monitor_base (`str`, *optional*): Samples of the base model to compare with; by default the first batch.
        evaluate (`str`, *optional*, defaults to `"no"`): `"at_end"` answers the test prompts once after training,
            `"only"` does not train. The answers go to `output_dir/rollouts-eval`, if `log_rollouts` is on.
    """

    task: str | None = field(default=None, metadata={"help": "Task of vpo.tasks, instead of a dataset and rewards."})
    task_options: dict[str, Any] | str | None = field(default=None, metadata={"help": "Options of the task, as JSON."})
    task_rows: int = field(default=4096, metadata={"help": "Prompts to take of the task, or to make."})
    task_eval_rows: int = field(default=128, metadata={"help": "Prompts of the task's test split."})
    reward_funcs: list[str] | None = field(
        default=None,
        metadata={"help": "TRL's by name, dotted paths, or reward models by id. One component each."},
    )
    max_prompt_tokens: int | None = field(default=None, metadata={"help": "Leave out longer training prompts."})
    dry_run: bool = field(default=False, metadata={"help": "Build everything, take one step, save nothing."})
    monitor: Literal["watch", "stop", "raise_kl"] | None = field(
        default=None, metadata={"help": "Watch for collapse; 'stop' or 'raise_kl' also act on alarms."}
    )
    monitor_correct: str | None = field(default=None, metadata={"help": "Component that says what is correct."})
    monitor_base: str | None = field(default=None, metadata={"help": "Samples of the base model to compare with."})
    evaluate: Literal["no", "at_end", "only"] = field(
        default="no", metadata={"help": "Answer the test prompts: 'at_end' of training, or 'only'."}
    )


SETTINGS = (VPOScriptArguments, VPOConfig, ModelConfig, DatasetMixtureConfig)
"""What a recipe's keys are the fields of."""


def main(script: VPOScriptArguments, args: VPOConfig, model: ModelConfig, mixture: DatasetMixtureConfig) -> None:
    """Train.

    Raises:
        ValueError: There is no model, no data or no reward; or two sources of one of them.
    """
    with ExitStack() as scratch:
        if script.dry_run:  # a trainer makes its folder when it is made
            args.output_dir = scratch.enter_context(tempfile.TemporaryDirectory(prefix="vpo-dry-run-"))
        _train(script, args, model, mixture)


def _train(script: VPOScriptArguments, args: VPOConfig, model: ModelConfig, mixture: DatasetMixtureConfig) -> None:
    from trl import get_peft_config, get_quantization_config

    from trainers import VPOTrainer

    if not model.model_name_or_path:
        raise ValueError("model_name_or_path is not set: expected a model id or a folder.")
    check_model(model.model_name_or_path, revision=model.model_revision, trust_remote_code=_trusts(args))
    if script.dry_run:
        args.max_steps, args.save_strategy, args.report_to, args.logging_steps = 1, "no", [], 1
        args.log_rollouts = args.push_to_hub = args.log_completions = False
        args.resume_from_checkpoint, script.evaluate = None, "no"
    if script.evaluate != "only":
        check_resume(args.resume_from_checkpoint, args.output_dir)
    train, evaluation, reward_funcs = recipe_data(script, args, mixture)
    if script.max_prompt_tokens is not None:
        train = short_enough(train, script.max_prompt_tokens, args, model)
    args.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(args.model_init_kwargs or {}),
    }
    try:
        trainer = VPOTrainer(
            model=model.model_name_or_path,
            reward_funcs=reward_funcs,
            args=args,
            train_dataset=train,
            eval_dataset=evaluation,
            quantization_config=get_quantization_config(model),
            peft_config=get_peft_config(model),
        )
    except ImportError as error:
        if not (args.use_vllm and "vllm" in str(error).lower()):
            raise
        raise ValueError(
            "use_vllm is set and vLLM is not installed: expected it in this environment (pip install 'vpo[vllm]'; docs/"
            "vllm.md). Without it: use_vllm: false, or the flag --use_vllm false."
        ) from error
    trainer.run_record.more = {"script": asdict(script), "model": asdict(model), "data": asdict(mixture)}
    if script.dry_run:
        trainer.remove_callback(trainer.run_record)  # it saves nothing
    if script.monitor and not script.dry_run:
        from eval.collapse import CollapseMonitor

        act: Any = None if script.monitor == "watch" else script.monitor
        told = alert_sinks(args.report_to)
        monitor = CollapseMonitor(trainer, script.monitor_base, script.monitor_correct, on_alarm=act, alerts=told)
        trainer.add_callback(monitor)
    if script.evaluate != "only":
        trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    if script.dry_run:
        trainer.accelerator.print(_summary(trainer))
    elif script.evaluate != "only":
        trainer.save_model(args.output_dir)
        if args.push_to_hub:
            trainer.push_to_hub(dataset_name=script.dataset_name or script.task)
    if script.evaluate != "no":
        _evaluate(trainer)
    # A process that ends with its group's threads running may be aborted at the very end, after all is saved.
    if hasattr(trainer, "end"):  # transformers 5.18 and later: closes trackers, too
        trainer.end()
    else:
        trainer.accelerator.end_training()


def alert_sinks(report_to: Sequence[str]) -> list[str]:
    """Where the monitor's alarms go: the console, and those trackers of a run that show alerts."""
    return ["console", *(name for name in ("trackio", "wandb") if name in report_to)]


def _trusts(args: VPOConfig) -> bool:
    return bool(isinstance(args.model_init_kwargs, dict) and args.model_init_kwargs.get("trust_remote_code"))


def _evaluate(trainer: Any) -> None:
    """Answer the test prompts; leaves the metrics and ``evaluation.json``, which says what the components are."""
    with no_timings_in_trackio(trainer):
        trainer.save_metrics("eval", trainer.evaluate())
    if trainer.accelerator.is_main_process:
        components = trainer.vector_reward.components or ()
        w_star = trainer.w_star(len(components)).tolist() if components else []
        path = os.path.join(trainer.args.output_dir, "evaluation.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"components": components, "w_star": w_star}, file)


def _summary(trainer: Any) -> str:
    """What a dry run found."""
    args, rewards = trainer.args, trainer.vector_reward
    log: dict[str, float] = next((entry for entry in trainer.state.log_history if "loss" in entry), {})
    parameters = sum(p.numel() for p in trainer.accelerator.unwrap_model(trainer.model).parameters())
    groups = args.generation_batch_size // args.num_generations
    components = rewards.components or [f"{adapter.__name__} (no answer to see it on)" for adapter in rewards.adapters]
    lines = [
        f"dry run: {parameters / 1e6:.1f} M parameters on {trainer.accelerator.num_processes} process(es)",
        f"{groups} prompts x {args.num_generations} completions x {args.num_answers} answers a step",
        f"objective {trainer.payment.name}, components {', '.join(components)}",
        f"one step took {log.get('step_time', float('nan')):.1f} s; loss {log.get('loss', float('nan')):.3g}; "
        f"{log.get('set/answers', float('nan')):.2f} answers read in a completion",
        "nothing was saved",
    ]
    return "\n".join(lines)


def make_parser() -> RecipeParser:
    """Parser of the command line and of ``--config recipe.yaml``."""
    return RecipeParser(SETTINGS, prog="trainers.vpo")


if __name__ == "__main__":
    if RUNNER in os.environ:
        end_with(int(os.environ[RUNNER]))
    main(*make_parser().parse_args_and_config())
