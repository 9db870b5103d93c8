"""Weightings: their law (moments of the Dirichlet distribution), their determinism and their errors."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.weightings import Dirichlet, Fixed, prompt_key, weighting_seed

METHODS = ("iid", "sobol")
CHAT = [{"role": "user", "content": "two and two?"}]


@settings(deadline=None, max_examples=60)
@given(
    alpha=st.floats(1e-3, 1e4),
    method=st.sampled_from(METHODS),
    num=st.integers(1, 130),
    dim=st.integers(1, 17),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_weighting_lies_on_the_simplex(alpha, method, num, dim, seed):
    weights = Dirichlet(alpha, method).draw(num, dim, seed)
    assert weights.shape == (num, dim) and weights.dtype == torch.float32 and weights.device.type == "cpu"
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(num), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("dim", [2, 5])
def test_mean_and_variance_are_those_of_the_dirichlet_distribution(method, alpha, dim):
    weights = Dirichlet(alpha, method).draw(8192, dim, seed=11).double()
    variance = (1 / dim) * (1 - 1 / dim) / (dim * alpha + 1)  # Var w_i of a symmetric Dirichlet
    standard_error = math.sqrt(variance / 8192)
    assert (weights.mean(0) - 1 / dim).abs().max() < 4.5 * standard_error
    assert (weights.var(0) / variance - 1).abs().max() < 0.12
    covariance = torch.cov(weights.T)[0, 1].item()
    assert covariance == pytest.approx(-variance / (dim - 1), rel=0.15)  # rows sum to 1


@pytest.mark.parametrize("method", METHODS)
def test_flat_dirichlet_gives_the_known_set_reward_of_three_specialists(method):
    # E max_i w_i = (1 + 1/2 + 1/3) / 3 for the uniform simplex of 3 corners
    best = Dirichlet(1.0, method).draw(8192, 3, seed=5).amax(-1).mean().item()
    assert best == pytest.approx(11 / 18, abs=0.005)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alpha", [5e-324, 1e-12, 1e-4])
def test_tiny_alpha_gives_corners_and_never_a_row_of_zeros(method, alpha):
    weights = Dirichlet(alpha, method).draw(256, 4, seed=0)
    assert weights.isfinite().all()
    assert (weights.amax(-1) > 0.99).float().mean() > 0.98
    assert set(weights.argmax(-1).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("method", METHODS)
def test_huge_alpha_gives_the_centre(method):
    weights = Dirichlet(1e12, method).draw(16, 4, seed=0)
    torch.testing.assert_close(weights, torch.full((16, 4), 0.25), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_one_component_has_weight_one(method):
    assert torch.equal(Dirichlet(0.3, method).draw(7, 1, seed=0), torch.ones(7, 1))


def test_flat_sobol_weightings_of_two_components_fill_every_cell_once():
    first = Dirichlet(1.0, "sobol").draw(128, 2, seed=3)[:, 0]
    assert sorted((first * 128).floor().tolist()) == list(range(128))


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_sobol_has_a_lower_error_than_independent_draws_at_the_same_number(alpha):
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.2], [0.0, 1.0, 0.0, 0.5], [0.3, 0.3, 0.6, 0.3]])

    def estimates(method):
        draws = (Dirichlet(alpha, method).draw(100, 4, seed) for seed in range(60))
        return torch.stack([(weights @ rewards.T).amax(-1).mean() for weights in draws])

    truth = (Dirichlet(alpha, "iid").draw(200_000, 4, seed=1) @ rewards.T).amax(-1).mean()
    error = {method: ((estimates(method) - truth) ** 2).mean().sqrt().item() for method in METHODS}
    assert error["sobol"] < 0.5 * error["iid"]


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_weightings_and_another_seed_others(method):
    first, again, other = (Dirichlet(1.0, method).draw(50, 3, seed) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", METHODS)
def test_global_random_generators_are_neither_read_nor_moved(method):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()

    before, expected = states(), Dirichlet(0.7, method).draw(8, 3, seed=2)
    assert states() == before
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert torch.equal(Dirichlet(0.7, method).draw(8, 3, seed=2), expected)


def test_another_process_with_another_hash_seed_draws_the_same():
    code = (
        "from vpo.weightings import *\n"
        f"seed = weighting_seed(7, 3, prompt_key({CHAT!r}))\n"
        "print(seed, [Dirichlet(a, m).draw(5, 3, seed).tolist() for a in (1.0, 0.4) for m in ('iid', 'sobol')])"
    )
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    there = subprocess.run([sys.executable, "-c", code], env=env, text=True, check=True, capture_output=True).stdout
    seed = weighting_seed(7, 3, prompt_key(CHAT))
    here = [Dirichlet(a, m).draw(5, 3, seed).tolist() for a in (1.0, 0.4) for m in METHODS]
    assert there == f"{seed} {here}\n"


def test_seeds_and_keys_never_change_between_versions():
    # Frozen: a resumed run must draw what the interrupted one would have drawn.
    assert weighting_seed(1, 2, 3) == 4113765783567097944
    assert prompt_key("a") == 3130838541919133487
    assert prompt_key([{"role": "user", "content": "a"}]) == 2129847985669873981


@given(st.integers(-(2**63), 2**64), st.integers(0, 2**40), st.integers(0, 2**63 - 1))
def test_seeds_fit_63_bits_and_depend_on_every_argument(seed, step, key):
    own = weighting_seed(seed, step, key)
    others = {
        weighting_seed(seed + 1, step, key),
        weighting_seed(seed, step + 1, key),
        weighting_seed(seed, step, key + 1),
    }
    assert all(0 <= value < 2**63 for value in (own, *others))
    assert own not in others and len(others) == 3


def test_prompt_key_tells_text_from_chat_and_ignores_the_order_of_keys():
    assert prompt_key([{"role": "user", "content": "a"}]) == prompt_key([{"content": "a", "role": "user"}])
    assert len({prompt_key("a"), prompt_key("b"), prompt_key(["a"]), prompt_key('["a"]')}) == 4
    assert prompt_key("\ud800 é") != prompt_key("é")  # lone surrogates are no error


def test_keys_that_a_dataset_pads_messages_with_do_not_count():
    """Arrow gives all messages the keys of each, null where there are none."""
    call = {"name": "zoom", "arguments": {"x": 1, "y": None}}
    padded = [{"role": "user", "content": "a", "name": None, "tool_calls": [call]}]
    bare = [{"role": "user", "content": "a", "tool_calls": [{"name": "zoom", "arguments": {"x": 1}}]}]
    assert prompt_key(padded) == prompt_key(bare)
    assert prompt_key([{**CHAT[0], "name": None}]) == prompt_key(CHAT) != prompt_key([{**CHAT[0], "name": ""}])


def test_prompt_key_of_an_image_says_where_to_keep_it():
    with pytest.raises(TypeError, match=r"cannot hash this prompt: Object of type object.*columns of their own"):
        prompt_key([{"role": "user", "content": [{"type": "image", "image": object()}]}])


def test_fixed_weights_are_used_as_given():
    assert torch.equal(Fixed((2.0, 0.5, -1)).draw(100, 3, seed=9), torch.tensor([[2.0, 0.5, -1.0]]))
    assert Fixed([1, 2]) == Fixed((1, 2))


def test_fixed_weights_must_match_the_components():
    with pytest.raises(ValueError, match=r"2 fixed weights for 3 reward components.*Give 3 weights"):
        Fixed((0.5, 0.5)).draw(1, 3, seed=0)


@pytest.mark.parametrize("weights", [(), (0.5, math.nan), (math.inf,), ("1",), (True,), (None,)])
def test_fixed_weights_must_be_finite_numbers(weights):
    with pytest.raises(ValueError, match="expected one finite number a component"):
        Fixed(weights)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf, "1", None, True])
def test_alpha_must_be_positive_and_finite(alpha):
    with pytest.raises(ValueError, match=r"alpha is .*: expected a finite number above 0"):
        Dirichlet(alpha)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method is 'halton': expected 'iid' or 'sobol'"):
        Dirichlet(1.0, "halton")


@pytest.mark.parametrize("weighting", [Dirichlet(), Dirichlet(method="sobol"), Fixed((1.0,))])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 1, 0), "num is 0"), ((1, 0, 0), "dim is 0"), ((1, 1, -1), "seed is -1"), ((1, 1, 2**63), "seed is 9223")],
)
def test_impossible_draws_are_refused(weighting, arguments, message):
    with pytest.raises(ValueError, match=message):
        weighting.draw(*arguments)
