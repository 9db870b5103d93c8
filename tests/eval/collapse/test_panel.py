"""A panel: completions are units of evidence, and the mean that is tested is the one that was bounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eval.collapse.counted import count
from eval.collapse.monitor import Monitor
from eval.collapse.quantities import Thresholds, choose_quantities, quantity_values
from eval.samples import Samples
from tests.eval.collapse.stream import LOOKS_OF, BySign, mixture

NAMES = [f"p{i}" for i in range(32)]


def policy(step: int, sizes: list[int], chances: list[float], rng: np.random.Generator, answers: int = 1) -> Samples:
    """Prompt x is empty with ``chances[x]`` in each of ``sizes[x]`` completions; others hold ``answers`` answers."""
    ids, texts, completions = [], [], []
    for name, size, chance in zip(NAMES, sizes, chances, strict=False):
        for _ in range(size):
            is_empty = rng.random() < chance
            number = completions[-1] + 1 if completions else 0
            for _ in range(1 if is_empty else answers):
                ids.append(name)
                texts.append("" if is_empty else LOOKS_OF["prose"].format(n=rng.integers(1000)))
                completions.append(number)
    return Samples(step, None, ids, texts, np.zeros((len(ids), 0)), (), np.array(completions))


def test_completions_that_hold_no_answer_are_no_change_where_others_hold_three():
    """A fifth is empty at the base and later: of completions a fifth, of samples 8%."""
    rng = np.random.default_rng(0)
    sizes, chances = [8] * 32, [0.2] * 32
    watched = Monitor([BySign()], policy(0, sizes, chances, rng, 3), prompts="panel", with_vendi=False)
    for step in range(1, 11):
        watched.look(policy(step, sizes, chances, rng, 3))
    assert watched.alarms == []
    broken = next(each for each in watched.reference.quantities if each.name == "broken")
    assert broken.base == pytest.approx(0.2, abs=0.05)


def test_a_prompt_that_is_sampled_more_often_later_is_no_change():
    """Half of the prompts are nearly always empty; only how often each is asked changes."""
    rng = np.random.default_rng(1)
    chances = [0.05, 0.95] * 16
    watched = Monitor([BySign()], policy(0, [8] * 32, chances, rng), prompts="panel", with_vendi=False)
    for step in range(1, 11):
        watched.look(policy(step, [4, 16] * 16, chances, rng))
    assert watched.alarms == []


@pytest.mark.parametrize("sizes", [[8] * 32, [4, 6, 9, 16] * 8, [1, 8] * 16])
def test_units_of_a_panel_weigh_prompts_alike(sizes):
    look = count(policy(1, sizes, [0.1, 0.7] * 16, np.random.default_rng(2)), [BySign()], None)
    assert len(np.unique(look.panel_units)) == 32 * min(sizes)
    prompts = look.groups.index  # one sample a completion
    for unit in range(32 * min(sizes)):
        assert len(set(prompts[look.panel_units == unit].tolist())) == 1
    quantities = choose_quantities(look, Thresholds(), True, is_panel=True)
    values = quantity_values(quantities, look, {}, True)
    of_prompts = quantity_values(quantities, look, {}, False)
    for each in quantities:
        assert values[each.name].mean() == pytest.approx(each.base)
        if all(size % min(sizes) == 0 for size in sizes):  # else some units of a prompt are larger than others
            assert values[each.name].mean() == pytest.approx(of_prompts[each.name].mean())


def test_fresh_prompts_are_no_panel():
    rng = np.random.default_rng(3)
    watched = Monitor([BySign()], prompts="panel", with_vendi=False)
    first = mixture(0, (0.5, 0.3, 0.2), (0.5, 0.5, 0.5), rng, names=NAMES)
    watched.look(first)
    watched.look(dataclasses.replace(first, step=1))
    with pytest.raises(ValueError, match=r"step 2 has 64 of 64 prompts that the first look lacks.*--prompts fresh"):
        watched.look(mixture(2, (0.5, 0.3, 0.2), (0.5, 0.5, 0.5), rng))
