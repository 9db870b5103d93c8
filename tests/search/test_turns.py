import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.turns import Turns


def passed(order, recorded=(), end=None):
    """Numbers in the order in which they had their turn, when they come in ``order``; and those that had none."""

    async def play():
        turns, done, refused = Turns(), [], []
        for number in recorded:
            turns.over(number)

        async def come(number):
            if await turns.wait(number):
                done.append(number)
                turns.over(number)
            else:
                refused.append(number)

        tasks = []
        for number in order:
            tasks.append(asyncio.create_task(come(number)))
            await asyncio.sleep(0)
        if end is not None:
            turns.end(end)
        await asyncio.wait_for(asyncio.gather(*tasks), 5)
        return done, refused

    return asyncio.run(play())


@settings(deadline=None)
@given(st.permutations(range(8)))
def test_whoever_comes_when_turns_go_by_number(order):
    assert passed(order) == (list(range(8)), [])


@settings(deadline=None)
@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_turns_of_a_former_session_are_over(order, recorded):
    left = [number for number in order if number not in recorded]
    assert passed(left, recorded) == (sorted(left), [])


@settings(deadline=None)
@given(st.permutations(range(8)), st.integers(0, 7))
def test_nobody_waits_for_one_that_will_not_come(order, missing):
    done, refused = passed([number for number in order if number != missing], end=missing)
    assert done == list(range(missing)) and sorted(refused) == list(range(missing + 1, 8))


def test_who_is_cancelled_while_waiting_leaves_no_trace():
    async def play():
        turns = Turns()
        task = asyncio.create_task(turns.wait(1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        turns.over(0)
        return await turns.wait(1)

    assert asyncio.run(play())
