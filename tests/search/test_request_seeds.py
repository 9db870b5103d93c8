import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.request_seeds import SeedNarrower, choice_seed
from search.seeds import request_seed, stable_hash

SEEDS = [request_seed(0, "problem", number) for number in range(100_000)]


@pytest.mark.parametrize("bits", [63, 53, 32, 31, 20])
def test_100_000_requests_have_as_many_seeds_of_any_width(bits):
    narrow = SeedNarrower(bits)
    narrowed = [narrow(seed) for seed in SEEDS]
    assert len(set(narrowed)) == 100_000
    assert min(narrowed) >= 0 and max(narrowed) < 1 << bits


def test_a_hash_alone_would_collide():
    assert len({stable_hash("narrow", seed, 0) >> 32 for seed in SEEDS}) < 100_000  # 31 bits


@given(st.lists(st.integers(0, 2**63 - 1), max_size=30), st.integers(16, 63))
def test_a_request_keeps_its_seed(seeds, bits):
    narrow = SeedNarrower(bits)
    first = {seed: narrow(seed) for seed in seeds}
    assert {seed: narrow(seed) for seed in random.Random(0).sample(seeds, len(seeds))} == first
    assert len(set(first.values())) == len(first)


def test_without_a_collision_the_order_does_not_matter():
    there, back = SeedNarrower(31), SeedNarrower(31)
    some = SEEDS[:1000]
    assert [there(seed) for seed in some] == [back(seed) for seed in some[::-1]][::-1]


def test_narrow_seeds_run_out_with_a_message():
    narrow = SeedNarrower(16)
    for seed in SEEDS[: 1 << 15]:
        narrow(seed)
    with pytest.raises(ValueError, match="32768 requests were made with seeds of 16 bits, expected fewer"):
        narrow(SEEDS[1 << 15])


@pytest.mark.parametrize("bits", [15, 64])
def test_a_width_that_makes_no_sense_is_refused(bits):
    with pytest.raises(ValueError, match=f"seed_bits is {bits}, expected 16 to 63"):
        SeedNarrower(bits)


def test_choices_of_neighbouring_seeds_do_not_meet():
    """vLLM's seed + i would make them: 1000 seeds with 100 choices have 1099 different ones there."""
    assert len({choice_seed(seed, index) for seed in range(1000) for index in range(100)}) == 100_000


def test_the_first_choice_is_what_one_choice_would_have_been():
    assert choice_seed(12, 0) == 12
