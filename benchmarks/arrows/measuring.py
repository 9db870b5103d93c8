"""What a policy earns at a depth, and how many loops that took.

Every depth answers the same prompts with the same seeds, so differences between depths are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from arrows.task import STRATA, Arrows, ArrowsTask
from numpy.typing import NDArray

from eval.metrics import expected_best_at_k_curve, simplex_weightings
from search.model_sampler import ModelSampler
from search.records import Request
from search.seeds import request_seed

ANSWERS = 24  # of a prompt, in completions of one or three
FEW = 6
MEASURES = ("right", "few", "best", "distinct", "loops", "table loops", "answer loops")


def held_out(prompts: int) -> list[Arrows]:
    """Tables of the test split: half of them mixed, an eighth of each distance."""
    wanted = {stratum: prompts // 2 if stratum == "mixed" else prompts // 8 for stratum in STRATA}
    found: list[Arrows] = []
    for arrows in ArrowsTask().examples("test", seed=12345):
        if wanted[arrows.stratum]:
            wanted[arrows.stratum] -= 1
            found.append(arrows)
        if not any(wanted.values()):
            return found
    raise AssertionError("the stream of tables is endless")


def answers_of(
    sampler: ModelSampler, tables: Sequence[Arrows], num_answers: int, seed: int
) -> list[list[tuple[str, ...]]]:
    """For each table its completions' answers."""
    task, completions = ArrowsTask(), ANSWERS // num_answers
    form = task.answer_format(num_answers)
    requests = [
        Request(
            id=i * completions + c,
            prompt=task.prompt(arrows, num_answers),
            seed=request_seed(seed, f"arrows-{arrows.key()}", c),
            max_new_tokens=task.completion_tokens(num_answers),
        )
        for i, arrows in enumerate(tables)
        for c in range(completions)
    ]
    parsed = [form.parse(generation.text).answers for generation in sampler.sample(requests)]
    return [parsed[i * completions : (i + 1) * completions] for i in range(len(tables))]


def rewards_of(
    tables: Sequence[Arrows], answers: Sequence[Sequence[Sequence[str]]], num_answers: int
) -> NDArray[np.float64]:
    """(tables, completions, m, D) reward vectors; an answer that is missing earns nothing."""
    task = ArrowsTask()
    rewards = np.zeros((len(tables), len(answers[0]), num_answers, len(task.components)))
    for i, (arrows, completions) in enumerate(zip(tables, answers, strict=True)):
        row = task.row(arrows, num_answers)
        for c, completion in enumerate(completions):
            for j, answer in enumerate(completion):
                rewards[i, c, j] = task.score(answer, row)
    return rewards


def means(
    tables: Sequence[Arrows], answers: Sequence[Sequence[Sequence[str]]], num_answers: int
) -> dict[str, dict[str, float]]:
    """For all tables, for the alike ones and for each stratum: what is right, E_w[best], and what differs.

    ``right`` is the share of answers that are right, ``few`` and ``best`` E_w[best of 6] and of 24, ``distinct`` the
    different right answers among 24 (of six), and ``kinds`` the shares of the kinds among the right ones.
    """
    rewards = rewards_of(tables, answers, num_answers)
    tastes = simplex_weightings(100, rewards.shape[-1])
    curves = expected_best_at_k_curve(rewards, tastes, [FEW, ANSWERS])
    is_right = rewards.sum(-1) > 0
    distinct = np.array(
        [
            len({answer for c, one in enumerate(completions) for j, answer in enumerate(one) if is_right[i, c, j]})
            for i, completions in enumerate(answers)
        ]
    )
    strata = np.array([arrows.stratum for arrows in tables])
    groups = {"all": strata == strata, "alike": strata != "mixed", **{name: strata == name for name in STRATA}}
    found = {}
    for name, inside in groups.items():
        own = rewards[inside]
        by_kind = own.sum((0, 1, 2))
        found[name] = {
            "right": float(own.sum(-1).mean()),
            "few": float(curves[inside, 0].mean()),
            "best": float(curves[inside, 1].mean()),
            "distinct": float(distinct[inside].mean()),
            "kinds": [float(share) for share in by_kind / max(by_kind.sum(), 1.0)],
        }
    return found


def count_loops(model: Any) -> Callable[[], dict[str, float]]:
    """Count from now on; calling what it returns ends that and gives the mean loops of a token.

    Apart for the tokens of tables, which are read in one pass, and for those of answers, which come one by one.
    """
    seen = {"table loops": [0, 0], "answer loops": [0, 0]}

    def see(module: Any, args: Any, inputs: dict[str, Any], output: Any) -> None:
        depths, mask = output.loop_depths, inputs.get("attention_mask")
        real = depths > 0 if mask is None else mask[:, -depths.shape[1] :].bool()
        sums = seen["table loops" if depths.shape[1] > 1 else "answer loops"]
        sums[0] += int(depths[real].sum())
        sums[1] += int(real.sum())

    hook = model.register_forward_hook(see, with_kwargs=True)

    def end() -> dict[str, float]:
        hook.remove()
        loops, tokens = (sum(sums[i] for sums in seen.values()) for i in (0, 1))
        return {"loops": loops / tokens, **{name: sums[0] / max(sums[1], 1) for name, sums in seen.items()}}

    return end


def measure(
    model: Any, tokenizer: Any, depth: Any, tables: Sequence[Arrows], num_answers: int, seed: int
) -> tuple[dict[str, dict[str, Any]], float]:
    """`means` with the loops of each group, and the share that is right when answers are read for the next table."""
    model.depth_policy = depth
    sampler = ModelSampler(model, tokenizer, batch_size=512)
    answers: list[Any] = [None] * len(tables)
    loops = {}
    for stratum in STRATA:
        places = [i for i, arrows in enumerate(tables) if arrows.stratum == stratum]
        counted = count_loops(model)
        for i, own in zip(places, answers_of(sampler, [tables[i] for i in places], num_answers, seed), strict=True):
            answers[i] = own
        loops[stratum] = counted()
    found: dict[str, dict[str, Any]] = means(tables, answers, num_answers)
    shares = {stratum: sum(arrows.stratum == stratum for arrows in tables) for stratum in STRATA}
    for name in found:
        within = {"all": STRATA, "alike": STRATA[:-1]}.get(name, (name,))
        total = sum(shares[stratum] for stratum in within)
        for kind in ("loops", "table loops", "answer loops"):
            found[name][kind] = sum(shares[stratum] * loops[stratum][kind] for stratum in within) / total
    shuffled = rewards_of([*tables[1:], tables[0]], answers, num_answers)
    return found, float(shuffled.sum(-1).mean())
