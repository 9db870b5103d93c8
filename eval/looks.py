"""A look: what a run's rollout log holds at one step or a few, in figures, for a page that compares runs.

It raises no alarms; for that see :mod:`eval.collapse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from eval.formats import RuleTaxonomy, Taxonomy
from eval.metrics import best_at_k_sets, distinct_answers, label_shares, pool_l1
from eval.prompt_weights import prompt_weights
from eval.rollouts import dataset_row, files_by_step, pools, read_rollouts
from eval.sources.texts import completion_text

LabelFunction = Callable[[str, dict[str, Any]], str]


@dataclass(frozen=True)
class Look:
    """Measures of the rollouts of one or more steps; means over prompts, each prompt's answers forming a pool.

    Attributes:
        step: Last step that was looked at.
        epoch: Epoch at that step.
        num_prompts: Pools that were averaged.
        num_completions: Rollouts.
        generated_tokens: Tokens of these rollouts.
        pool_l1: Mean L1 distance between the reward vectors of two answers of a pool; None without a pair.
        distinct: Different answers in a pool.
        pool_size: Answers in a pool, to read ``distinct`` against.
        best_at_1: Utility under w* of the first answer of a completion; w* is rescaled to the components that a prompt
            has (`eval.prompt_weights`).
        best_of_pool: Utility under w* of a pool's best answer.
        set_reward: Score under the run's objective.
        answers_per_completion: Answers that could be read.
        parse_failure_rate: Share of completions without any.
        truncated_rate: Share of completions cut off by the length limit.
        component_means: Mean of each component over the answers that it applies to; 0 if there are none.
        shares: Share of each kind of answer (the task's labels).
        format_shares: Share of each format of completion (text rules).
    """

    step: int
    epoch: float
    num_prompts: int
    num_completions: int
    generated_tokens: int
    pool_l1: float | None
    distinct: float
    pool_size: float
    best_at_1: float
    best_of_pool: float
    set_reward: float
    answers_per_completion: float
    parse_failure_rate: float
    truncated_rate: float
    component_means: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    format_shares: dict[str, float] = field(default_factory=dict)


def looks_of(
    folder: str | Path,
    every: int,
    w_star: Sequence[float],
    num_answers: int,
    label: LabelFunction | None = None,
    taxonomy: Taxonomy | None = None,
) -> Iterator[Look]:
    """Yield looks at a run's rollout log: at its first step alone, then at every few steps.

    Steps that are left at the end make a look of their own unless they are fewer than half of ``every``: too noisy to
    be held against the others.

    Args:
        folder: The run's ``rollouts`` folder.
        every: Steps a look, by the optimizer's count; one at least.
        w_star: As in :func:`look_at`.
        num_answers: M.
        label: As there.
        taxonomy: As there.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: ``every`` is below 1, or as in :func:`look_at`.
    """
    if every < 1:
        raise ValueError(f"every is {every}: expected at least 1 step between looks. Use 10.")
    windows = [list(window) for _, window in groupby(files_by_step(folder), lambda step: step and 1 + step // every)]
    if len(windows) > 1 and windows[-1][-1] - windows[-2][-1] < every / 2:
        windows.pop()
    window_of = {step: number for number, window in enumerate(windows) for step in window}
    kept = (each for each in read_rollouts(folder) if each[0] in window_of)
    for _, steps in groupby(kept, lambda each: window_of[each[0]]):
        yield look_at(steps, w_star, num_answers, label, taxonomy)


def look_at(
    steps: Iterable[tuple[int, list[dict[str, Any]]]],
    w_star: Sequence[float],
    num_answers: int,
    label: LabelFunction | None = None,
    taxonomy: Taxonomy | None = None,
) -> Look:
    """Measure the rollouts of some steps.

    Args:
        steps: (step, rows), as ``read_rollouts`` yields them. A prompt seen at two steps counts as two pools.
        w_star: (D,) weights of deployment.
        num_answers: M.
        label: Kind of an answer, from its text and its dataset row; None leaves ``shares`` empty. It must not look at
            success.
        taxonomy: Formats of completions; :class:`~eval.formats.RuleTaxonomy` by default.

    Raises:
        ValueError: There are no rollouts, or ``w_star`` does not fit the components.
        TypeError: A label is no text.
    """
    taxonomy = taxonomy or RuleTaxonomy()
    weights = np.asarray(w_star, dtype=float)
    by_step = list(steps)
    rows = [row for _, step_rows in by_step for row in step_rows]
    if not rows:
        raise ValueError("there are no rollouts to look at: expected at least one step with rows.")
    components: list[str] = next((row["components"] for row in rows if row["components"]), [])
    if components and len(components) != len(weights):
        raise ValueError(
            f"w_star has {len(weights)} weights, the rollouts have components {components}: give one weight for each."
        )
    seen = [pool for _, step_rows in by_step for pool in pools(step_rows, num_answers, len(weights))]
    distances, firsts, bests = [], [], []
    for pool in seen:
        if pool.exists.sum() >= 2:
            distances.append(float(pool_l1(pool.rewards[pool.exists])))
        (own,) = prompt_weights(weights, pool.has[None])
        utility = pool.rewards @ own  # (C, M); missing answers are worth 0
        firsts.append(float(best_at_k_sets(utility, 1)))
        bests.append(float(utility.max()))
    by_component = zip(*(vector for row in rows for vector in row["rewards"]), strict=True)
    given = [[value for value in values if value is not None] for values in by_component]
    means = [float(np.mean(values)) if values else 0.0 for values in given]
    data = {text: dataset_row(text) for text in {row["metadata"] for row in rows}}
    texts = [(answer, data[row["metadata"]]) for row in rows for answer in row["answers"]]
    kinds = [_labelled(label, answer, columns) for answer, columns in texts] if label else []
    formats = [
        _labelled(
            taxonomy, completion_text(row["completion"], row["prompt"]), row["finish_reason"], data[row["metadata"]]
        )
        for row in rows
    ]
    return Look(
        step=by_step[-1][0],
        epoch=float(rows[-1]["epoch"]),
        num_prompts=len(seen),
        num_completions=len(rows),
        generated_tokens=sum(row["completion_tokens"] for row in rows),
        pool_l1=float(np.mean(distances)) if distances else None,
        distinct=float(np.mean([distinct_answers(a for set_ in pool.answers for a in set_) for pool in seen])),
        pool_size=float(np.mean([pool.exists.sum() for pool in seen])),
        best_at_1=float(np.mean(firsts)),
        best_of_pool=float(np.mean(bests)),
        set_reward=float(np.mean([row["set_reward"] for row in rows])),
        answers_per_completion=len(texts) / len(rows),
        parse_failure_rate=float(np.mean([not row["answers"] for row in rows])),
        truncated_rate=float(np.mean([row["finish_reason"] == "length" for row in rows])),
        component_means=dict(zip(components, means, strict=False)),
        shares=label_shares(kinds),
        format_shares=label_shares(formats),
    )


def _labelled(function: Callable[..., str], text: str, *rest: Any) -> str:
    try:
        kind = function(text, *rest)
    except Exception as error:
        error.add_note(f"This was to be labelled: {text[:200]!r}")
        raise
    if not isinstance(kind, str):
        raise TypeError(f"the label of {text[:60]!r} is {kind!r}: expected text. Return 'other' where no kind fits.")
    return kind
