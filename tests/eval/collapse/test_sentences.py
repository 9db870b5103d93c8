"""What an alarm says of the quantities that it names."""

from __future__ import annotations

import numpy as np
import pytest

from eval.collapse.records import Quantity
from eval.collapse.sentences import what_moved

BROKEN = Quantity("broken", "", 0.17, 0.07, "broken samples", "broken")
SHARE = Quantity("share", "format", 0.65, 0.3, "a share", "share", "python")


def test_a_quantity_above_its_bound_is_said_with_reference_and_bound():
    said = what_moved([SHARE], {"share": np.array([0.9, 1.0])})
    assert said == "Format 'python' has 95% of samples (30% at the reference, bound 65%)."


def test_one_that_has_come_back_is_said_to_be_back():
    """Evidence stays when a run recovers; the sentence would else name a figure that is no reason for an alarm."""
    said = what_moved([BROKEN], {"broken": np.array([0.02])})
    assert said == (
        "2% of samples are empty, cut off or endless (7% at the reference, bound 17%), which is within the bound "
        "again: the evidence is of earlier looks."
    )


@pytest.mark.parametrize(
    "quantity",
    [
        SHARE,
        BROKEN,
        Quantity("others", "format", 0.65, 0.3, "m", "others"),
        Quantity("same", "opening", 0.65, 0.3, "m", "collision"),
        Quantity("unsolved", "", 0.65, 0.3, "m", "coverage", k=8),
        Quantity("paired", "", 0.65, None, "m", "paired coverage", k=8),
    ],
    ids=lambda quantity: quantity.kind,
)
def test_every_kind_is_back_at_its_bound_and_not_above_it(quantity):
    for value, back in ((quantity.bound, True), (quantity.bound + 0.01, False), (0.0, True), (1.0, False)):
        said = what_moved([quantity], {quantity.name: np.array([value])})
        assert ("within the bound again" in said) is back and said.endswith(".")
    assert "earlier looks" in what_moved([quantity], {})
