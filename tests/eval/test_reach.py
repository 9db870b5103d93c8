import math

import pytest

from eval.reach import reach


def test_searches_that_do_not_arrive_are_counted_and_never_dropped():
    found = reach([[100.0, math.inf], [300.0, 200.0]])
    assert found.share == 0.75
    assert found.median_of_reached == 200.0
    assert found.median == 200.0  # 100, 200 | 300, more than the budget


def test_a_method_that_only_reaches_easy_targets_has_no_median_cost_of_all():
    found = reach([10.0, math.inf, math.inf])
    assert (found.share, found.median_of_reached, found.median) == (pytest.approx(1 / 3), 10.0, math.inf)
    nothing = reach([math.inf])
    assert (nothing.share, nothing.median) == (0.0, math.inf)
    assert math.isnan(nothing.median_of_reached)


@pytest.mark.parametrize("costs", [[], [math.nan], [-1.0]])
def test_costs_that_are_none_are_refused(costs):
    with pytest.raises(ValueError, match="expected one at least, none NaN or below 0"):
        reach(costs)
