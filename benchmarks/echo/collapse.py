"""Is the policy moving to one format, and since when is that certain?

Shares and accuracies of the formats at every step; how many formats there are in effect, within a prompt (alpha) and
over all prompts (gamma), from pairs of answers of different completions, which needs no correction for few answers; and
alarms at a known rate of false ones: a channel for each format, and one for the chance that two answers to a prompt
have the same format. Bounds come from the base policy's answers and are fixed before the first look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from echo.reading import Answers
from eval.alarms import AlarmPanel, Channel, FalseAlarms
from vpo.tasks.format_mixture.solutions import FORMATS

SHARE, RISE = 0.8, 0.2  # alarm above a share of .8, or of the base's share + .2 where that is more
MOST = 0.97  # a bound that can still be passed
RATE = 0.05
COLLISION = "one format within a prompt"


@dataclass(frozen=True)
class Measures:
    """One step in numbers.

    Attributes:
        step: Optimizer steps done.
        epoch: Passes over the prompts.
        tokens: Generated at this step.
        shares: Format -> share of answers; ``other`` is all that has none of the three.
        accuracies: Format -> share of its answers that are right; None without any.
        accuracy: Share of all answers that are right.
        alpha: Effective number of formats within a prompt: 1 / the chance that two answers to it have the same.
        gamma: The same for answers to different prompts.
    """

    step: int
    epoch: float
    tokens: int
    shares: dict[str, float]
    accuracies: dict[str, float | None]
    accuracy: float
    alpha: float
    gamma: float


def measure(answers: Answers) -> Measures:
    """All measures of a step."""
    names = (*FORMATS, "other")
    named = _named(answers)
    masks = {name: named == name for name in names}
    collisions = prompt_collisions(answers)
    return Measures(
        step=answers.step,
        epoch=answers.epoch,
        tokens=answers.tokens,
        shares={name: float(mask.mean()) for name, mask in masks.items()},
        accuracies={name: float(answers.correct[mask].mean()) if mask.any() else None for name, mask in masks.items()},
        accuracy=float(answers.correct.mean()),
        alpha=1 / max(float(np.mean(collisions)), 1e-9),
        gamma=1 / max(_agreement(named, answers.prompts), 1e-9),
    )


def prompt_shares(answers: Answers, name: str) -> NDArray[np.float64]:
    """(P,) share of a format among the answers to each prompt."""
    return np.array([float((part == name).mean()) for part, _ in _by_prompt(answers)])


def prompt_collisions(answers: Answers) -> NDArray[np.float64]:
    """(P,) chance that answers of two different completions for a prompt have the same format, unbiased."""
    return np.array([_agreement(part, completions) for part, completions in _by_prompt(answers)])


def channels(base: Answers) -> list[Channel]:
    """What is watched, with bounds from the base policy's answers."""
    found = []
    for name in FORMATS:
        bound = min(max(SHARE, float(prompt_shares(base, name).mean()) + RISE), MOST)
        found.append(Channel(name, bound, f"share of {name} among the answers to a prompt"))
    # Two formats of .8 and .2 agree with chance .68: the same line as for shares, drawn prompt by prompt.
    agreement = float(prompt_collisions(base).mean())
    bound = min(max(SHARE**2 + (1 - SHARE) ** 2, agreement + RISE), MOST)
    return [*found, Channel(COLLISION, bound, "chance that two answers to a prompt have the same format")]


@dataclass(frozen=True)
class Watch:
    """What the alarms said of a run.

    Attributes:
        alarms: Step, epoch and channels of each, in order.
        bounds: Channel -> bound.
        guarantee: In words.
        assumption: What it rests on.
    """

    alarms: list[dict[str, object]]
    bounds: dict[str, float]
    guarantee: str
    assumption: str


def watch(steps: Iterable[Answers], base: Answers, looks: int) -> Watch:
    """Look at every step in turn; ``looks`` is how many there can be, which the rate of false alarms is for."""
    from eval.alarms import ASSUMPTION

    watched = channels(base)
    false_alarms = FalseAlarms(rate=RATE, looks=looks)
    panel = AlarmPanel(watched, false_alarms)
    alarms = []
    for answers in steps:
        values = {name: prompt_shares(answers, name) for name in FORMATS}
        raised = panel.look(answers.step, {**values, COLLISION: prompt_collisions(answers)})
        if raised is not None:
            alarms.append({"step": raised.step, "epoch": answers.epoch, "channels": list(raised.channels)})
    bounds = {channel.name: channel.bound for channel in watched}
    return Watch(alarms, bounds, false_alarms.guarantee, ASSUMPTION)


def summary(steps: list[Answers], base: Answers, looks: int) -> dict[str, object]:
    """Measures of every step and the alarms, for a JSON file."""
    return {"steps": [asdict(measure(step)) for step in steps], "watch": asdict(watch(steps, base, looks))}


def _named(answers: Answers) -> NDArray[np.str_]:
    return np.where(np.isin(answers.formats, FORMATS), answers.formats, "other")


def _by_prompt(answers: Answers) -> list[tuple[NDArray[np.str_], NDArray[np.int64]]]:
    """(formats, completions) of each prompt, in the order of their ids."""
    named = _named(answers)
    masks = [answers.prompts == prompt for prompt in np.unique(answers.prompts)]
    return [(named[mask], answers.completions[mask]) for mask in masks]


def _agreement(formats: NDArray[np.str_], groups: NDArray) -> float:
    """Share of equal formats among the pairs of answers that are not of one group; 1 without such a pair."""
    _, places = np.unique(groups, return_inverse=True)
    rows = np.zeros((places.max() + 1, len(FORMATS) + 1))
    for column, name in enumerate((*FORMATS, "other")):
        np.add.at(rows[:, column], places[formats == name], 1)
    sizes = rows.sum(axis=1)
    pairs = sizes.sum() ** 2 - (sizes**2).sum()
    if pairs == 0:
        return 1.0
    return float(((rows.sum(axis=0) ** 2).sum() - (rows**2).sum()) / pairs)
