"""Vector rewards: ordinary TRL reward functions, called on answers instead of completions.

A list of TRL reward functions is a vector reward. `AnswerReward` stands in for one of them: TRL calls it on
completions, it parses the answers, calls the user's function once on the flat list of all answers (each with its
completion's prompt and columns), keeps one reward vector an answer, and gives TRL one number a completion for its
metrics. A function may return a number an answer (one component) or a list, array or dict (several).

None is TRL's "does not apply": for a component that is None on all answers to a prompt, that prompt has a shorter
vector; None on some of them counts as 0. NaN, infinity, a wrong count or an exception stop the run with a `RewardError`
that says where. A reward model (``nn.Module`` or model id) is made a function by :mod:`trainers.reward_models`.

Shape letters: B completions of a batch on this process, M answers a completion, D components.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vpo.answers import AnswerFormat, AnswerSet, completion_text
from vpo.reward_values import RewardError, check_rewards, reward_failed

_SHARED_KWARGS = ("trainer_state", "log_extra", "log_metric")  # what TRL passes that has no row a completion


@dataclass(frozen=True)
class RewardBatch:
    """What one function gave to the answers of one batch.

    Attributes:
        values: B rows, each with one reward vector an answer; NaN for a component that does not apply.
        components: Names of the entries of a vector. None when they are not known: no answer in this batch nor before.
        answer_sets: The B parsed completions.
    """

    values: list[list[list[float]]]
    components: tuple[str, ...] | None
    answer_sets: tuple[AnswerSet, ...]


class AnswerReward:
    """A reward function of TRL's kind, made to score answers.

    An async function gives an async stand-in, which TRL awaits together with the others.

    Attributes:
        last: The latest batch; None before the first.
        components: Names of the components, or None as long as they are not known. They are ``func.components`` if
            there is such an attribute, else a dict's keys, else the function's name (``name[0]``, ``name[1]``... for
            vectors). Their number may not change during a run.

    Args:
        func: ``func(prompts, completions, completion_ids, **columns)``, with one row an answer: the completion is the
            answer alone, as text or as one assistant message (with m = 1 the completion as it came); prompt, token
            ids (of the whole completion) and columns are those of its completion. Returns one reward an answer.
        answer_format: How the answers stand in a completion.
        name: Used in metrics and messages; by default the function's own.

    Raises:
        TypeError: ``func`` is a reward model, a model id, or cannot be called.
    """

    def __new__(cls, func: Callable[..., Any] | None = None, *_: Any, **__: Any) -> AnswerReward:
        """Choose the async variant for an async function; without one (copy, pickle) the class is right already."""
        return super().__new__(_AsyncAnswerReward if _is_async(func) else cls)

    def __init__(self, func: Callable[..., Any], answer_format: AnswerFormat, name: str | None = None) -> None:
        _check_func(func)
        self.func = func
        self.answer_format = answer_format
        inner = _unwrap(func)
        self.__name__ = str(name or getattr(inner, "__name__", type(inner).__name__))  # TRL names metrics by it
        declared = getattr(inner, "components", None)
        self.components: tuple[str, ...] | None = None if declared is None else tuple(declared)
        self.last: RewardBatch | None = None

    def __call__(self, prompts: list[Any], completions: list[Any], **kwargs: Any) -> Any:
        """Score the answers of a batch.

        Args:
            prompts: B prompts, text or chat messages.
            completions: B completions, text or chat messages.
            **kwargs: Whatever else TRL gives to a reward function.

        Returns:
            B floats: the mean over a completion's answers of the sum of their components, 0.0 without an answer; None
            where no component applies.

        Raises:
            RewardError: The function raised, or a reward is not a finite number, or their count or length is wrong.
        """
        answer_sets, call = self._prepare(prompts, completions, kwargs)
        try:
            output = self.func(**call) if call else []
        except Exception as error:
            raise reward_failed(self.__name__, error, call) from error
        return self._keep(answer_sets, output)

    def _prepare(
        self, prompts: list[Any], completions: list[Any], kwargs: dict[str, Any]
    ) -> tuple[tuple[AnswerSet, ...], dict[str, Any]]:
        """Parse, and lay out the function's arguments with one row an answer; none if there is no answer."""
        answer_sets = tuple(self.answer_format.parse(completion_text(completion)) for completion in completions)
        rows = [row for row, found in enumerate(answer_sets) for _ in found.answers]
        if not rows:
            return answer_sets, {}
        if self.answer_format.num_answers == 1:
            return answer_sets, {"prompts": prompts, "completions": completions, **kwargs}
        answers = [
            answer if isinstance(completion, str) else [{"role": "assistant", "content": answer}]
            for completion, found in zip(completions, answer_sets, strict=True)
            for answer in found.answers
        ]
        call: dict[str, Any] = {"prompts": [prompts[row] for row in rows], "completions": answers}
        for key, value in kwargs.items():
            is_column = key not in _SHARED_KWARGS and isinstance(value, list) and len(value) == len(completions)
            call[key] = [value[row] for row in rows] if is_column else value
        if "log_extra" in call:
            call["log_extra"] = self._regroup_extra(call["log_extra"], answer_sets, len(rows))
        return answer_sets, call

    def _regroup_extra(
        self, log_extra: Callable[[str, list[Any]], None], answer_sets: Sequence[AnswerSet], num_values: int
    ) -> Callable[[str, list[Any]], None]:
        """TRL's table has one cell a completion: hand it the list of the completion's per-answer values."""

        def log(column: str, values: list[Any]) -> None:
            values = list(values)
            if len(values) != num_values:
                raise RewardError(
                    f"log_extra({column!r}) got {len(values)} values: expected {num_values}, one an answer. Log a "
                    "value for every row that the function was given"
                )
            log_extra(column, _regroup(values, answer_sets))

        return log

    def _keep(self, answer_sets: tuple[AnswerSet, ...], output: Any) -> list[float | None]:
        places = [(row, number) for row, found in enumerate(answer_sets) for number in range(1, len(found.answers) + 1)]
        vectors, self.components = check_rewards(output, places, self.__name__, self.components)
        values = _regroup(vectors, answer_sets)
        self.last = RewardBatch(values, self.components, answer_sets)
        return [_summary(row) for row in values]


class _AsyncAnswerReward(AnswerReward):
    async def __call__(self, prompts: list[Any], completions: list[Any], **kwargs: Any) -> list[float | None]:
        """Score the answers of a batch; as `AnswerReward.__call__`, awaiting the function."""
        answer_sets, call = self._prepare(prompts, completions, kwargs)
        try:
            output = await self.func(**call) if call else []
        except Exception as error:
            raise reward_failed(self.__name__, error, call) from error
        return self._keep(answer_sets, output)


class VectorReward:
    """The adapters of all reward functions, and the tensor that they fill.

    Attributes:
        adapters: One `AnswerReward` a function, to give to TRL in place of the functions.

    Args:
        reward_funcs: One reward function, or a list of at least one.
        answer_format: How the answers stand in a completion.

    Raises:
        ValueError: There is no reward function.
        TypeError: One of them is a reward model, a model id, or cannot be called.
    """

    def __init__(
        self, reward_funcs: Callable[..., Any] | Sequence[Callable[..., Any]], answer_format: AnswerFormat
    ) -> None:
        funcs: list[Any] = list(reward_funcs) if isinstance(reward_funcs, (list, tuple)) else [reward_funcs]
        if not funcs:
            raise ValueError("reward_funcs is empty: expected at least one reward function. Give a list of functions.")
        self.answer_format = answer_format
        self.adapters = [AnswerReward(func, answer_format) for func in funcs]

    @property
    def components(self) -> tuple[str, ...] | None:
        """Names of all D components in order; None as long as a function's are unknown.

        A name that several functions give is numbered from its second use on: "length", "length#2".
        """
        names: list[str] = []
        for adapter in self.adapters:
            if adapter.components is None:
                return None
            names.extend(adapter.components)
        return tuple(
            name if (use := names[: index + 1].count(name)) == 1 else f"{name}#{use}"
            for index, name in enumerate(names)
        )

    def collect(self) -> tuple[Tensor, Tensor]:
        """Join what the adapters gave to the latest batch; see `stack`.

        Returns:
            (B, M, D) float32 rewards and (B, M) bool mask, on the CPU, M being the format's number of answers.

        Raises:
            RewardError: An adapter was not called on the same completions as the others.
        """
        batches = []
        for adapter in self.adapters:
            if adapter.last is None:
                raise RewardError(
                    f"reward function '{adapter.__name__}' was not called yet: expected a call before collecting. Give "
                    "`adapters` to the trainer as its reward functions."
                )
            batches.append(adapter.last)
        return stack(batches, self.answer_format.num_answers)


def stack(batches: Sequence[RewardBatch], num_answers: int) -> tuple[Tensor, Tensor]:
    """Join the components of several functions into one tensor.

    Args:
        batches: One a function, on the same B completions.
        num_answers: M, at least the number of answers of any completion.

    Returns:
        (B, M, D) float32 rewards, 0 where there is no answer and NaN where a component does not apply, and the (B, M)
        bool mask of existing answers. A function whose components are unknown counts as one; there is no answer then,
        so all rows are 0 and the mask is False.

    Raises:
        RewardError: The batches do not hold the same answers, or more than ``num_answers`` of them.
    """
    answer_sets = batches[0].answer_sets
    if any(batch.answer_sets != answer_sets for batch in batches):
        raise RewardError(
            "the reward functions were called on different completions: expected the same batch for all of them. "
            "Collect after every call of the trainer, and do not share an adapter between trainers."
        )
    most = max((len(found.answers) for found in answer_sets), default=0)
    if most > num_answers:
        raise RewardError(f"a completion holds {most} answers: expected at most {num_answers}. Raise num_answers.")
    dim = sum(1 if batch.components is None else len(batch.components) for batch in batches)
    places, vectors = [], []
    for row, found in enumerate(answer_sets):
        for index in range(len(found.answers)):
            places.append(row * num_answers + index)
            vectors.append([value for batch in batches for value in batch.values[row][index]])
    rewards = torch.zeros(len(answer_sets) * num_answers, dim)
    mask = torch.zeros(len(answer_sets) * num_answers, dtype=torch.bool)
    if places:
        rewards[places] = torch.tensor(vectors, dtype=torch.float32)
        mask[places] = True
    return rewards.view(-1, num_answers, dim), mask.view(-1, num_answers)


def _check_func(func: Any) -> None:
    if isinstance(func, (str, nn.Module)) or not callable(func):
        what = f"a {type(func).__name__} (nn.Module)" if isinstance(func, nn.Module) else repr(func)
        raise TypeError(
            f"{what} was given as a reward function: expected a function. VPOTrainer makes functions of reward models; "
            "outside of it use trainers.reward_models.RewardModel."
        )


def _summary(vectors: list[list[float]]) -> float | None:
    """What TRL shows for a completion; None is its word for a reward that does not apply."""
    given = [value for vector in vectors for value in vector if not math.isnan(value)]
    if vectors and not given:
        return None
    return sum(given) / len(vectors) if vectors else 0.0


def _unwrap(func: Any) -> Any:
    while isinstance(func, functools.partial):
        func = func.func
    return func


def _is_async(func: Any) -> bool:
    func = _unwrap(func)  # the same test as TRL's, which decides whether the adapter is awaited
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def _regroup(flat: list[Any], answer_sets: Sequence[AnswerSet]) -> list[list[Any]]:
    rest = iter(flat)
    return [[next(rest) for _ in found.answers] for found in answer_sets]
