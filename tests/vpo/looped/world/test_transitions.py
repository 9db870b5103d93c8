from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.looped.world import Episode, Transitions


def episode(steps: int, ended: bool = True, first: float = 0.0) -> Episode:
    """Observation t is ``first + t``, action t is t, reward t is ``(first + t, 1)``."""
    times = first + torch.arange(steps + 1.0)
    rewards = torch.stack([times[:-1], torch.ones(steps)], 1)
    return Episode(times.unsqueeze(1), torch.arange(steps), rewards, ended)


def test_sequences_are_padded_with_values_that_are_valid() -> None:
    data = Transitions.of([episode(1), episode(3, ended=False)])
    assert data.mask.tolist() == [[True, False, False], [True, True, True]]
    assert data.observations[0, :, 0].tolist() == [0, 1, 1, 1]
    assert data.actions.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert data.continues.tolist() == [[0, 0, 0], [1, 1, 1]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 7), st.booleans()), min_size=1, max_size=5), st.integers(1, 8))
def test_windows_hold_every_step_once_and_in_order(shapes: list[tuple[int, bool]], length: int) -> None:
    data = Transitions.of([episode(steps, ended, 100.0 * i) for i, (steps, ended) in enumerate(shapes)])
    cut = data.windows(length)
    assert cut.horizon <= length
    for name in ("rewards", "actions", "continues"):
        assert torch.equal(getattr(cut, name)[cut.mask], getattr(data, name)[data.mask])
    assert torch.equal(cut.observations[:, :-1][cut.mask], data.observations[:, :-1][data.mask])
    assert torch.equal(cut.observations[:, 1:][cut.mask], data.observations[:, 1:][data.mask])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transitions.of([]), "one sequence at least"),
        (lambda: Transitions.of([episode(0)]), "one step at least"),
        (lambda: Transitions.of([episode(2)]).windows(0), "windows of 0 steps"),
        (lambda: swapped(mask=torch.tensor([[True, False, True]])), "only after them"),
        (lambda: swapped(observations=torch.zeros(1, 3, 1)), "one observation more than there are steps"),
    ],
)
def test_data_that_does_not_fit_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def swapped(**changes: torch.Tensor) -> Transitions:
    return Transitions(**{**vars(Transitions.of([episode(3)])), **changes})
