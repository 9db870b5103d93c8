"""What one look can show, as the report says it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from eval.alarms import AlarmPanel, Channel, FalseAlarms
from eval.report.collapse.tables import smallest_seen, watched
from tests.eval.collapse_page import sample


def test_the_smallest_seen_mean_solves_the_growth_rate() -> None:
    # P KL(m || b) = log 20 with b = 1/2 and P = 64: KL = 0.046808, m = 1/2 + d with KL about 2 d^2, so d about 0.153.
    mean = smallest_seen(0.5, 64, math.log(20))
    assert mean == pytest.approx(0.6521, abs=2e-3)
    # All prompts at 1 grow by P log(1 / b): four prompts at b = 1/2 reach log 16, not log 20; five reach log 32.
    assert smallest_seen(0.5, 4, math.log(20)) is None
    assert smallest_seen(0.5, 5, math.log(20)) < 1
    assert smallest_seen(1.0, 64, 3.0) is None


def test_more_prompts_show_smaller_rises() -> None:
    found = [smallest_seen(0.3, prompts, 3.0) for prompts in (16, 64, 256, 1024)]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("looks", [1, 20])
def test_a_look_at_the_mean_that_is_said_to_be_enough_raises_the_alarm(looks: int) -> None:
    """Oracle: the evidence itself, after quiet looks that spent the earlier stakes."""
    panel = AlarmPanel([Channel(f"quantity {i}", 0.4) for i in range(12)], FalseAlarms())
    run = sample.healthy().runs[0]
    quantities = [dataclasses.replace(run.quantities[0], name=each.name, bound=each.bound) for each in panel.channels]
    last = dataclasses.replace(
        run.looks[-1], number=looks, num_prompts=400, log_threshold=panel.false_alarms.log_threshold
    )
    row = watched(dataclasses.replace(run, quantities=quantities, looks=[last]))[0]
    quiet = {each.name: np.zeros(400) for each in panel.channels}
    for step in range(looks - 1):
        assert panel.look(step, quiet) is None
    share = np.arange(400) < 400 * (float(row.seen_from) + 0.01)
    assert panel.look(looks, quiet | {"quantity 0": share.astype(float)}) is not None


def test_a_quantity_alone_must_make_up_for_the_others() -> None:
    run = sample.healthy().runs[0]
    alone = watched(dataclasses.replace(run, quantities=run.quantities[:1]))[0]
    together = watched(run)[0]
    assert float(together.seen_from) > float(alone.seen_from)
