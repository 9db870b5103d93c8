"""The monitor on the shares of a published reproduction of Echo Chamber (150M, GRPO on GSM8K, 1,319 test prompts).

Its log holds greedy shares of TinyGSM-style code at each checkpoint. Samples are drawn here with these shares, 8 a
prompt and the same chance for every prompt, which that log does not tell.
"""

from __future__ import annotations

import numpy as np

from eval.collapse.monitor import Monitor
from tests.eval.collapse.stream import BySign, mixture

STEPS = (0, 58, 116, 164, 232, 348)
SHARES = {
    "tg15": (0.8931, 0.9045, 0.9318, 0.9492, 0.9507),
    "tg30": (0.9712, 0.9818, 0.9841, 0.9856, 0.9864, 0.9871),
    "tg00": (0.0, 0.0, 0.0),
}
NAMES = [f"gsm8k-{i}" for i in range(1319)]


def run(name: str) -> Monitor:
    rng = np.random.default_rng(0)
    parts = [
        mixture(step, (share, 1 - share), (0.06, 0.03), rng, names=NAMES, spread=1e6, formats=("python", "prose"))
        for step, share in zip(STEPS, SHARES[name], strict=False)
    ]
    watched = Monitor([BySign()], base=parts[0], prompts="panel", with_vendi=False)
    for samples in parts[1:]:
        watched.look(samples)
    return watched


def test_the_format_that_is_lost_late_is_named_late():
    watched = run("tg15")
    assert watched.alarms[0].step in (164, 232)  # its shares move most after step 116
    assert "format: agreement" in watched.alarms[0].quantities


def test_where_one_format_has_nearly_all_there_is_nothing_to_collapse():
    watched = run("tg30")
    assert watched.alarms == []
    assert watched.verdict()[0] == "nothing to collapse"


def test_a_format_that_nobody_writes_raises_nothing():
    watched = run("tg00")
    assert watched.alarms == []
    assert watched.verdict()[0] == "nothing to collapse"
