import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.budget import Account, Budget, Cost

costs = st.builds(Cost, st.integers(0, 5), st.integers(0, 50))


@given(
    budget=st.builds(
        Budget,
        max_answers=st.integers(1, 40),
        max_completion_tokens=st.one_of(st.none(), st.integers(1, 400)),
    ),
    steps=st.lists(st.tuples(costs, st.floats(0, 1), st.booleans()), max_size=40),
)
def test_spent_and_reserved_together_never_exceed_the_budget(budget, steps):
    account = Account(budget)
    open_reservations = []
    for worst, used, settle_now in steps:
        if account.reserve(worst):
            open_reservations.append((worst, used))
        if settle_now and open_reservations:
            held, share = open_reservations.pop()
            account.settle(held, Cost(int(held.answers * share), int(held.completion_tokens * share)))
        total = Cost(
            account.spent.answers + account.reserved.answers,
            account.spent.completion_tokens + account.reserved.completion_tokens,
        )
        assert budget.covers(total)
    for held, _ in open_reservations:
        account.release(held)
    assert account.reserved == Cost(0, 0)


def test_unused_part_of_a_reservation_can_be_spent_again():
    account = Account(Budget(max_completion_tokens=100))
    assert account.reserve(Cost(1, 60))
    assert not account.reserve(Cost(1, 60))
    account.settle(Cost(1, 60), Cost(1, 40))
    assert account.reserve(Cost(1, 60))
    assert account.spent == Cost(1, 40)


def test_refused_reservation_changes_nothing():
    account = Account(Budget(max_answers=3))
    assert not account.reserve(Cost(4, 1))
    assert account.reserved == Cost(0, 0)


def test_cost_above_its_reservation_is_refused():
    account = Account(Budget(max_answers=3))
    account.reserve(Cost(1, 10))
    with pytest.raises(ValueError, match="expected at most what was reserved"):
        account.settle(Cost(1, 10), Cost(1, 11))


def test_budget_without_any_limit_is_refused():
    with pytest.raises(ValueError, match="the budget has no limit, expected one at least: set max_answers"):
        Budget()


@pytest.mark.parametrize("name", ["max_answers", "max_completion_tokens"])
def test_limit_below_one_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
        Budget(**{name: 0})
