import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.retry import Backoff, may_pass, retry_after_s

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@given(st.integers(0, 200), st.floats(0, 10), st.floats(0, 100), st.integers())
def test_a_wait_lies_between_nothing_and_a_limit_that_doubles(attempt, first, more, seed):
    backoff = Backoff(max_retries=201, first_s=first, longest_s=first + more)
    wait = backoff.wait_s(attempt, None, random.Random(seed))
    assert wait is not None and 0 <= wait <= min(first + more, first * 2.0**attempt)


def test_waits_spread_over_the_whole_of_their_range():
    backoff, rng = Backoff(first_s=1, longest_s=60), random.Random(0)
    waits = [backoff.wait_s(3, None, rng) for _ in range(2000)]
    assert min(waits) < 0.1 and max(waits) > 7.9 and abs(sum(waits) / 2000 - 4) < 0.2


@given(st.integers(0, 5), st.floats(0, 600), st.integers())
def test_a_server_that_asks_for_patience_gets_at_least_that(attempt, asked, seed):
    wait = Backoff().wait_s(attempt, asked, random.Random(seed))
    assert wait is not None and asked <= wait <= asked + 1


def test_attempts_end_and_so_does_patience():
    backoff, rng = Backoff(max_retries=2), random.Random(0)
    assert [backoff.wait_s(attempt, None, rng) is None for attempt in range(4)] == [False, False, True, True]
    assert backoff.wait_s(0, 601, rng) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert retry_after_s(headers, NOW) == seconds


def test_what_may_pass():
    assert [s for s in range(400, 430) if may_pass(s)] == [408, 409, 429]
    assert all(may_pass(status) for status in (500, 502, 503, 504, 529))


@pytest.mark.parametrize("wrong", [{"max_retries": -1}, {"first_s": 9, "longest_s": 1}, {"max_retry_after_s": -1}])
def test_a_wrong_number_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))} is .*expected"):
        Backoff(**wrong)
