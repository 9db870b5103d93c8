"""What a recipe trains on: rows and reward functions, of a task or of one's own; what is not there is named."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trl import DatasetMixtureConfig, ModelConfig

    from trainers.vpo import VPOScriptArguments
    from trainers.vpo_config import VPOConfig

_TRL_REWARDS = ("accuracy_reward", "reasoning_accuracy_reward", "think_format_reward", "get_soft_overlong_punishment")


def recipe_data(
    script: VPOScriptArguments, args: VPOConfig, mixture: DatasetMixtureConfig
) -> tuple[Any, Any, list[Any]]:
    """Training rows, evaluation rows or None, and reward functions.

    Raises:
        ValueError: There is no data or no reward, or two sources of one of them; or a dataset, a split of it or a
            reward function is not there.
    """
    evaluates = args.eval_strategy != "no" or script.evaluate != "no"
    if script.task:
        if script.dataset_name or mixture.datasets or script.reward_funcs:
            raise ValueError(
                f"task {script.task!r} beside a dataset or reward_funcs: a task brings both. Leave one of them out."
            )
        from vpo.tasks import get_task

        task = get_task(script.task, **_json(script.task_options))
        if args.answer_tag == "answer":  # not chosen: the tag that the task's prompts speak of
            args.answer_tag = getattr(task, "tag", args.answer_tag)
        if args.component_weights is None and args.reward_weights is None and len(set(task.w_star)) > 1:
            args.component_weights = list(task.w_star)
        rows = args.generation_batch_size if script.dry_run else script.task_rows
        train = task.dataset("train", rows, args.num_answers)
        test = task.dataset("test", script.task_eval_rows, args.num_answers) if evaluates else None
        return train, _numbered(test, script), list(task.reward_funcs)
    if not script.reward_funcs:
        raise ValueError("there is no reward: set reward_funcs, as [my_rewards.correct, my_rewards.short], or a task.")
    data = _dataset(script, mixture)
    test = _split(data, script.dataset_test_split, "dataset_test_split") if evaluates else None
    given: Any = script.reward_funcs  # a recipe may name a single one without a list
    names = [given] if isinstance(given, str) else given
    train = _split(data, script.dataset_train_split, "dataset_train_split")
    return train, _numbered(test, script), [_reward(name) for name in names]


def _dataset(script: VPOScriptArguments, mixture: DatasetMixtureConfig) -> Any:
    """All splits of the recipe's dataset, or of its mixture."""
    name: Any = [each.path for each in mixture.datasets] if mixture.datasets else script.dataset_name
    if not name:
        raise ValueError("there is nothing to train on: set dataset_name, datasets, or a task.")
    if isinstance(name, str) and Path(name).is_file():
        raise ValueError(
            f"dataset_name is the file {name}: expected a folder, whose files are named for their splits (train.jsonl, "
            "test.jsonl), or a name on the hub. Put the file into a folder of its own, and name that."
        )
    from datasets import load_dataset
    from trl import get_dataset

    try:
        if mixture.datasets:
            return get_dataset(mixture)
        return load_dataset(name, name=script.dataset_config, streaming=script.dataset_streaming)
    except Exception as error:  # files, network, formats: each part of the library has its own kind, StopIteration too
        said = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0][:300]
        raise ValueError(
            f"dataset {name!r} cannot be loaded ({said}). Expected a folder with files of rows, such as train.jsonl, "
            "or a name on the hub: check the spelling, the network (HF_HUB_OFFLINE) and your access."
        ) from error


def _split(data: Any, name: str, key: str) -> Any:
    if name not in data:
        raise ValueError(
            f"{key} is {name!r}, and the dataset has the splits {', '.join(map(repr, data))}: expected one of them. "
            f"Set {key}."
        )
    return data[name]


def _numbered(test: Any, script: VPOScriptArguments) -> Any:
    """The test prompts that are asked, with a number each: policies are compared on the same one, however it is put."""
    if test is None or script.evaluate == "no" or not hasattr(test, "select"):
        return test
    test = test.select(range(min(len(test), script.task_eval_rows)))
    return test.add_column("prompt_number", range(len(test)))


def short_enough(rows: Any, most: int, args: VPOConfig, model: ModelConfig) -> Any:
    """Rows whose prompt, as the policy will see it, has at most ``most`` tokens.

    Raises:
        ValueError: There is none, or the rows are streamed.
    """
    if not hasattr(rows, "select"):
        raise ValueError("max_prompt_tokens cannot count the rows of a streamed dataset: leave one of the two out.")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.model_name_or_path, revision=model.model_revision)
    answers = args.build_answer_format()

    def length(prompt: Any) -> int:
        prompt = answers.ask(prompt) if args.ask_for_answers else prompt
        if not isinstance(prompt, str):
            prompt = tokenizer.apply_chat_template(
                prompt, add_generation_prompt=True, tokenize=False, **(args.chat_template_kwargs or {})
            )
        return len(tokenizer(prompt)["input_ids"])

    kept = [i for i, prompt in enumerate(rows["prompt"]) if length(prompt) <= most]
    if not kept:
        raise ValueError(f"no prompt has {most} tokens or fewer: raise max_prompt_tokens.")
    if len(kept) < len(rows) and args.process_index == 0:
        print(f"left out {len(rows) - len(kept)} of {len(rows)} prompts: more than {most} tokens", flush=True)
    return rows.select(kept)


def _reward(name: str) -> Any:
    """A reward function by TRL's name for it or by its dotted path, or a reward model's id."""
    if name in _TRL_REWARDS:
        import trl.rewards

        found = getattr(trl.rewards, name)
        return found(max_completion_len=1280, soft_punish_cache=256) if name.startswith("get_") else found
    if "/" in name:
        return name  # a model id or a folder: the trainer loads it
    module, _, function = name.rpartition(".")
    if not module:
        raise ValueError(
            f"there is no reward function {name!r}: expected one of {', '.join(_TRL_REWARDS)}, or a dotted path such "
            "as my_rewards.short."
        )
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"reward function {name!r} cannot be imported from {os.getcwd()}: {error}.") from error


def _json(value: dict[str, Any] | str | None) -> dict[str, Any]:
    try:
        options = json.loads(value) if isinstance(value, str) else value or {}
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise ValueError(
            f"task_options is {value!r}: expected options by name, as {{size: 5}} in a recipe, or a JSON object."
        )
    return options
