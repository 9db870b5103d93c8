"""Every border against inputs that are nearly right; `python benchmarks/fuzz.py` does the same for an hour."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.borders import TARGETS
from tests.fuzz.target import Target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.border}, {target.name}".replace(" ", "-"))
def test_a_hostile_input_ends_in_a_result_or_one_clear_message(target: Target):
    @settings(
        max_examples=target.quick,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(target.inputs())
    def check(value):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.check(value)

    check()
