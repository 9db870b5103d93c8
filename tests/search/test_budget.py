import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.budget import Account, Budget, Cost, prompt_bound

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


def test_total_tokens_are_read_and_generated_ones_together():
    account = Account(Budget(max_total_tokens=100))
    assert not account.reserve(Cost(1, 60, 41))
    assert account.reserve(Cost(1, 60, 40))
    account.settle(Cost(1, 60, 40), Cost(1, 10, 35))
    assert not account.reserve(Cost(1, 50, 6)) and account.reserve(Cost(1, 50, 5))


def test_prompt_that_took_more_than_its_bound_is_charged_as_it_was():
    account = Account(Budget(max_total_tokens=100))
    account.reserve(Cost(1, 10, 5))
    account.settle(Cost(1, 10, 5), Cost(1, 10, 50))
    assert account.spent == Cost(1, 10, 50) and account.reserved == Cost(0, 0)


def test_share_spent_goes_by_the_limit_that_is_nearest_to_its_end():
    budget = Budget(max_answers=10, max_total_tokens=100, max_seconds=60)
    assert budget.share_spent(Cost(5, 10, 10), 0) == 0.5
    assert budget.share_spent(Cost(1, 30, 40), 0) == 0.7
    assert budget.share_spent(Cost(1, 1, 1), 45) == 0.75
    assert budget.share_spent(Cost(1, 1, 1), 90) == 1.0


def test_bound_of_a_prompt_is_its_bytes_and_room_for_a_chat_template():
    assert prompt_bound("ab") == 3
    assert prompt_bound("é\ud800") == 6
    assert prompt_bound([{"role": "user", "content": "ab"}]) == 2 + 16 + 256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_answers": 2.5}, "max_answers is 2.5, expected a whole number"),
        ({"max_answers": "9"}, "max_answers is '9', expected a whole number"),
        ({"max_total_tokens": True}, "max_total_tokens is True, expected a whole number"),
        ({"max_seconds": 0}, "max_seconds is 0, expected a finite number above 0"),
        ({"max_seconds": float("inf")}, "max_seconds is inf, expected a finite number above 0"),
        ({"max_seconds": "9"}, "max_seconds is '9', expected a number of seconds"),
    ],
)
def test_limit_of_the_wrong_kind_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Budget(**options)


@pytest.mark.parametrize("name", ["max_answers", "max_completion_tokens", "max_total_tokens"])
def test_limit_below_one_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
        Budget(**{name: 0})
