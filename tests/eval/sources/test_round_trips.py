"""What a trainer writes in any form is what the monitor reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.sources import open_source, read_base
from tests.eval.sources.logs import WRITERS, by_step, samples_of
from vpo.weightings import prompt_key

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
REWARD = st.one_of(st.floats(-1e6, 1e6, width=32), st.just(None))


@st.composite
def logs(draw):
    steps = sorted(draw(st.sets(st.integers(0, 2000), min_size=1, max_size=4)))
    return [
        (step, *sample)
        for step in steps
        for sample in draw(st.lists(st.tuples(TEXT, TEXT, REWARD), min_size=1, max_size=5))
    ]


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=25)
@given(log=logs())
def test_reading_gives_what_was_written(form, log):
    if form == "trl":
        log = [(s, p, f"{s} {t}", r) for s, p, t, r in log]  # a batch written twice is read once, see test_trl_log.py
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(WRITERS[form](Path(folder), log))
        steps = list(source.read())
        assert samples_of(steps) == [(s, p, t, r) for s, p, t, r in log]
        assert [each.step for each in steps] == list(by_step(log))
        assert {name for each in steps for name in each.components} <= {"reward", "score"}
        assert [i for each in steps for i in each.prompt_ids] == [f"{prompt_key(p):016x}" for _, p, *_ in log]
        later = log[len(log) // 2][0]
        assert samples_of(source.read(after_step=later)) == [sample for sample in log if sample[0] > later]


@pytest.mark.parametrize("form", WRITERS)
def test_base_samples_are_all_steps_of_a_log_at_step_zero(form, tmp_path):
    log = [(3, "p", "a", 1.0), (3, "q", "b", 0.0), (7, "p", "c", 1.0)]
    base = read_base(WRITERS[form](tmp_path, log))
    assert samples_of([base]) == [(0, *sample[1:]) for sample in log]
    assert base.completions.tolist() == [0, 1, 2]
    assert base.epoch is None


@pytest.mark.parametrize("form", WRITERS)
def test_ids_agree_between_forms_so_that_base_samples_match_any_log(form, tmp_path):
    (samples,) = open_source(WRITERS[form](tmp_path, [(1, "What is 1?", "1", 1.0)])).read()
    assert list(samples.prompt_ids) == [f"{prompt_key('What is 1?'):016x}"]


@pytest.mark.parametrize("form", WRITERS)
def test_duplicate_prompts_and_empty_texts_of_a_step_stay(form, tmp_path):
    log = [(1, "p", "", 0.0), (1, "p", "", 0.0), (1, "q", "x", 1.0), (1, "p", "", 0.0)]
    (samples,) = open_source(WRITERS[form](tmp_path, log)).read()
    assert samples_of([samples]) == log
    assert np.array_equal(samples.completions, np.arange(4))


@pytest.mark.parametrize("form", WRITERS)
def test_an_unknown_reward_is_nan_and_not_zero(form, tmp_path):
    (samples,) = open_source(WRITERS[form](tmp_path, [(1, "p", "a", None), (1, "p", "b", 1.0)])).read()
    assert np.isnan(samples.rewards[0, 0]) and samples.rewards[1, 0] == 1.0
