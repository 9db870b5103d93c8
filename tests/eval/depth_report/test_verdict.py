"""From findings and sweet spot to a change: the rows of the decision table, and their order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.depth.sweet_spot import SweetSpot
from eval.depth.verdict import Advice, advise
from vpo.looped.stability import Finding


def spelled(change: str, **values) -> dict:
    return {change: values}


def advice(
    *kinds: str,
    loop: int = 3,
    lo: int = 3,
    hi: int = 3,
    cap: int = 4,
    is_last: bool = False,
    halting: tuple[float, float] | None = None,
    step_size: float = math.nan,
) -> list[Advice]:
    return advise(
        [Finding(kind, f"saw {kind}.") for kind in kinds],
        SweetSpot(loop, lo, hi, 0.9, 0.01, is_last),
        cap=cap,
        loops=6,
        trained_loops=4,
        halting=halting,
        step_size=step_size,
        settings=spelled,
    )


def test_a_sweet_spot_below_the_cap_lowers_it_no_further_than_the_interval_allows() -> None:
    assert advice(loop=2, lo=1, hi=2)[0].settings == {"cap": {"cap": 2}}
    wide = advice(loop=2, lo=1, hi=3)[0]
    assert wide.settings == {"cap": {"cap": 3}} and "1 to 3" in wide.text
    assert advice(loop=2, lo=1, hi=5)[0].kind == "keep"


def test_a_sweet_spot_above_the_cap_raises_it_only_where_the_interval_is_above_as_well() -> None:
    raised = advice(loop=5, lo=5, hi=6)[0]
    assert raised.settings == {"cap": {"cap": 5}} and "past the trained depth of 4" in raised.text
    unsure = advice(loop=5, lo=3, hi=6)
    assert unsure[0].kind == "keep" and not any(each.settings for each in unsure)


def test_the_last_loop_is_no_sweet_spot_yet() -> None:
    first, *rest = advice(loop=6, lo=6, hi=6, is_last=True)
    assert first.kind == "more_loops" and "--loops 12" in first.text
    assert "keep" not in [each.kind for each in rest], "nobody knows yet whether the cap is right"
    assert "more_loops" not in [each.kind for each in advice("diverges", loop=6, lo=6, hi=6, is_last=True)]


def test_at_the_cap_nothing_is_to_be_set() -> None:
    found = advice("settled", loop=4, lo=4, hi=4)
    assert [each.kind for each in found] == ["keep", "sweet_spot", "settled"]
    assert not any(each.settings for each in found)


@pytest.mark.parametrize(
    ("kind", "step_size", "expected"),
    [
        ("drifts", math.nan, {"scale": {}}),
        ("diverges", math.nan, {"scale": {}}),
        ("oscillates", 0.8, {"damp": {"cap": 4, "step_size": 0.4}}),
        ("oscillates", math.nan, {"damp": {"cap": 4, "step_size": 0.5}}),
        ("unstable", 0.6, {"damp": {"cap": 4, "step_size": 0.3}}),
        ("unstable", 0.0, {}),
        ("unstable", 0.004, {"damp": {"cap": 4, "step_size": 0.002}}),
        ("over_contracts", math.nan, {"cap": {"cap": 3}}),
        ("past_trained_depth", math.nan, {"cap": {"cap": 3}, "train": {"high": 6}}),
    ],
)
def test_each_row_of_the_table_has_its_change_and_comes_before_the_depth(kind, step_size, expected) -> None:
    found = advice(kind, step_size=step_size)
    assert (found[0].kind, found[0].settings) == (kind, expected)
    assert "keep" not in [each.kind for each in found]


@pytest.mark.parametrize(("kind", "trained"), [("over_contracts", {}), ("past_trained_depth", {"train": {"high": 6}})])
@pytest.mark.parametrize(("loop", "cap"), [(2, {"cap": {"cap": 2}}), (4, {}), (5, {})])
def test_late_loops_that_hurt_never_raise_the_cap(kind: str, trained: dict, loop: int, cap: dict) -> None:
    (found,) = [each for each in advice(kind, loop=loop, lo=1, hi=6, cap=4) if each.kind == kind]
    assert found.settings == cap | trained


def test_a_radius_above_one_at_one_state_is_no_alarm_where_all_states_settle() -> None:
    kinds = [each.kind for each in advice("settled", "unstable", loop=4, lo=4, hi=4)]
    assert kinds[0] == "keep" and "unstable_somewhere" in kinds


def test_stopping_token_by_token_is_advised_where_it_saves_a_tenth_of_the_loops() -> None:
    assert any(each.kind == "halt" for each in advice(halting=(0.1, 2.5)))
    assert not any(each.kind == "halt" for each in advice(halting=(0.1, 2.8)))


@given(
    st.sets(
        st.sampled_from(["settled", "drifts", "oscillates", "unstable", "over_contracts", "lower_cap", "contracts"])
    ),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_there_is_always_a_verdict_and_nothing_seen_is_left_out(kinds: set, loop: int, cap: int) -> None:
    found = advice(*kinds, loop=loop, lo=1, hi=6, cap=cap, is_last=loop == 6)
    assert found
    told = " ".join(each.text for each in found)
    assert all(f"saw {kind}." in told for kind in kinds)
    caps = [each.settings["cap"]["cap"] for each in found if "cap" in each.settings]
    assert all(1 <= each <= 6 for each in caps)
