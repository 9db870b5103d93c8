"""Norm and radius of a Jacobian, on maps where both are known and against the explicit matrix."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.function import once_differentiable

from tests.vpo.looped.stability.analytic_maps import causal, linear, normal, orthogonal, rotation
from vpo.looped.stability import growth_rate, iterate, spectral_norm, spectral_radius, stable_step_size, token_spectrum
from vpo.looped.stability.derivative import Linearisation, central_difference, restrict

SLOW = {"steps": 400, "tol": 1e-10}


def explicit(f, point):
    size = point.numel()
    return torch.autograd.functional.jacobian(f, point).reshape(size, size)


@pytest.mark.parametrize("derivative", ["exact", "differences"])
def test_a_uniform_contraction_has_its_factor_as_norm_radius_and_growth(derivative):
    f, point = linear(0.6 * torch.eye(8, dtype=torch.float64), 3.0), normal(2, 3, 8, seed=0)
    assert spectral_norm(f, point, derivative=derivative).value == pytest.approx(0.6, rel=1e-6)
    radius = spectral_radius(f, point, derivative=derivative)
    assert radius.value == pytest.approx(0.6, rel=1e-6)
    assert radius.growth.value == pytest.approx(0.6, rel=1e-6)
    assert growth_rate(f, point, derivative=derivative).method == derivative


@pytest.mark.parametrize(("factor", "angle"), [(0.9, 1.0), (1.2, 2.5), (0.5, math.pi / 2)])
def test_a_complex_pair_is_seen_with_its_modulus(factor, angle):
    f, point = linear(rotation(factor, angle, 8)), normal(1, 1, 8, seed=1)
    radius = spectral_radius(f, point)
    assert radius.value == pytest.approx(factor, rel=1e-9)
    assert radius.growth.value == pytest.approx(factor, rel=1e-9)
    assert radius.residual < 1e-9
    assert abs(math.atan2(radius.eigenvalues[0].imag, radius.eigenvalues[0].real)) == pytest.approx(angle, rel=1e-9)
    # What a Rayleigh quotient reports instead, at any vector: the real part.
    v = point / point.norm()
    assert float((v * f(v)).sum()) == pytest.approx(factor * math.cos(angle), rel=1e-9, abs=1e-12)


def test_a_non_normal_map_may_stretch_a_hundredfold_and_still_contract_in_the_long_run():
    # [[.5, 100], [0, .5]]: J J^T has trace 10000.5 and determinant .0625, so the norm is 100.0025 to seven digits.
    f, point = linear(torch.tensor([[0.5, 100.0], [0.0, 0.5]], dtype=torch.float64)), normal(1, 1, 2, seed=2)
    assert spectral_norm(f, point, **SLOW).value == pytest.approx(100.0025, rel=1e-6)
    assert spectral_radius(f, point).value == pytest.approx(0.5, rel=1e-5)
    # |J^k v| ~ k 0.5^(k-1) |...|: the second half of 400 steps grows by 0.5 * 2^(1/200) a step.
    assert growth_rate(f, point, steps=400).value == pytest.approx(0.5 * 2 ** (1 / 200), rel=1e-3)


def test_a_drift_has_norm_one_and_a_constant_has_none():
    point, drift = normal(1, 2, 4, seed=3), normal(4, seed=4)
    assert spectral_norm(lambda z: z + drift, point).value == pytest.approx(1.0, rel=1e-9)
    nothing = spectral_radius(lambda z: 0.0 * z + drift, point)
    assert (nothing.value, nothing.growth.value) == (0.0, 0.0)
    assert spectral_norm(lambda z: 0.0 * z + drift, point).value == 0.0


@given(seed=st.integers(0, 10_000), width=st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_estimates_equal_the_explicit_matrix_and_the_norm_is_never_below_the_radius(seed, width):
    weight = normal(width, width, seed=seed)

    def f(z):
        return torch.tanh(z @ weight.T) + 0.1 * z.roll(1, -1) * z

    point = normal(1, 1, width, seed=seed + 1)
    matrix = explicit(f, point)
    norm = spectral_norm(f, point, **SLOW)
    radius = spectral_radius(f, point, dimension=width)
    assert norm.value == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-3)
    assert radius.value == pytest.approx(float(torch.linalg.eigvals(matrix).abs().max()), rel=1e-5)
    assert norm.value >= radius.value * (1 - 1e-3)


@given(seed=st.integers(0, 10_000), width=st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_norm_and_radius_do_not_depend_on_the_orthogonal_basis(seed, width):
    matrix, basis = normal(width, width, seed=seed), orthogonal(width, seed + 1)
    point = normal(1, 1, width, seed=seed + 2)
    here, there = linear(matrix), linear(basis @ matrix @ basis.T)
    assert spectral_norm(there, point, **SLOW).value == pytest.approx(
        spectral_norm(here, point, **SLOW).value, rel=1e-3
    )
    radii = [spectral_radius(f, point, dimension=width).value for f in (here, there)]
    assert radii[0] == pytest.approx(radii[1], rel=1e-5)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_norm_that_has_not_settled_is_too_small_and_says_so(seed):
    matrix = normal(12, 12, seed=seed)
    early = spectral_norm(linear(matrix), normal(1, 1, 12, seed=seed + 1), steps=2, restarts=1)
    assert early.value <= float(torch.linalg.matrix_norm(matrix, 2)) * (1 + 1e-9)
    assert early.steps == 2
    assert early.change > 1e-4


def test_the_best_restart_counts_and_their_distance_is_told():
    f, point = linear(normal(12, 12, seed=20)), normal(1, 1, 12, seed=21)
    draws = torch.Generator().manual_seed(0)
    single = [spectral_norm(f, point, steps=1, restarts=1, generator=draws).value for _ in range(4)]
    found = spectral_norm(f, point, steps=1, restarts=4)
    assert found.value == pytest.approx(max(single))
    assert found.spread == pytest.approx((max(single) - min(single)) / max(single))
    assert found.spread > 0.01


def test_differences_agree_with_exact_products_and_their_error_falls_with_the_square_of_eps():
    weight, point, direction = normal(6, 6, seed=5), normal(1, 2, 6, seed=6), normal(1, 2, 6, seed=7)

    def f(z):
        return torch.tanh(z @ weight.T)

    exact = Linearisation(f, point).times(direction[None])[0]
    errors = [float((central_difference(f, point, direction, eps) - exact).norm()) for eps in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)
    assert errors[1] < 1e-4
    assert torch.allclose(
        Linearisation(f, point).transposed(direction).flatten(), explicit(f, point).T @ direction.flatten()
    )


class TanhOnce(torch.autograd.Function):
    """An operation whose backward pass cannot be differentiated, as that of a fused kernel."""

    @staticmethod
    def forward(ctx, z):
        value = torch.tanh(z)
        ctx.save_for_backward(value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad * (1 - ctx.saved_tensors[0] ** 2)


@pytest.mark.parametrize("residual", [0.0, 1.0])
def test_where_there_is_no_second_derivative_differences_serve_and_say_so(residual):
    """A residual connection around the operation gives PyTorch a way past it, on which it would be left out unseen."""
    weight, point = normal(6, 6, seed=8), normal(1, 1, 6, seed=9)
    plain = spectral_norm(lambda z: residual * z + torch.tanh(z @ weight.T), point, **SLOW)
    fused = spectral_norm(lambda z: residual * z + TanhOnce.apply(z @ weight.T), point, **SLOW)
    assert (plain.method, fused.method) == ("exact", "differences")
    assert fused.value == pytest.approx(plain.value, rel=1e-5)
    with pytest.raises(RuntimeError, match="no second derivative"):
        spectral_norm(lambda z: TanhOnce.apply(z @ weight.T), point, derivative="exact")


def test_tokens_outside_the_mask_are_neither_varied_nor_looked_at():
    blocks = torch.stack([1e6 * torch.eye(4), *[0.5 * torch.eye(4)] * 2]).double()
    f, point = causal(blocks, coupling=0.0), normal(2, 3, 4, seed=10)
    mask = torch.tensor([[False, True, True], [False, False, True]])
    assert spectral_norm(f, point, mask=mask).value == pytest.approx(0.5, rel=1e-9)
    assert spectral_radius(f, point, mask=mask).value == pytest.approx(0.5, rel=1e-9)
    assert spectral_norm(f, point).value == pytest.approx(1e6, rel=1e-9)
    part, x = restrict(f, point, mask)
    assert x.shape == (3, 4)
    assert torch.equal(part(x), f(point)[mask])


def test_the_radius_of_each_token_is_that_of_its_own_block_and_the_joint_radius_their_largest():
    factors = [0.3, 1.1, 0.7]
    blocks = torch.stack([rotation(factor, 0.5 + i, 6) for i, factor in enumerate(factors)])
    f, point = causal(blocks, coupling=2.0), normal(2, 3, 6, seed=11)
    found = token_spectrum(f, point, torch.tensor([0, 1, 2]), dimension=6)
    assert found.radius.view(3, 2).tolist() == [[pytest.approx(factor, rel=1e-6)] * 2 for factor in factors]
    assert found.residual.max() < 1e-6
    assert spectral_radius(f, point, dimension=36).value == pytest.approx(1.1, rel=1e-3)
    assert spectral_norm(f, point).value > 2.0  # the coupling is in the norm
    some = token_spectrum(f, point, torch.tensor([2, 1]), dimension=6)
    assert some.radius.tolist() == pytest.approx([0.7, 0.7, 1.1, 1.1], rel=1e-6)


def test_a_small_krylov_space_finds_a_dominant_pair_among_many():
    matrix = torch.block_diag(rotation(0.95, 2.0, 2), torch.diag(torch.linspace(-0.8, 0.8, 198, dtype=torch.float64)))
    basis = orthogonal(200, 12)
    radius = spectral_radius(linear(basis @ matrix @ basis.T), normal(1, 1, 200, seed=13))
    assert radius.value == pytest.approx(0.95, rel=1e-3)
    assert max(radius.change, radius.residual) < 1e-2


@pytest.mark.parametrize(
    ("eigenvalues", "expected"),
    [
        ([0.9], 1.0),
        ([-1.5], 0.8),  # |1 - 2.5 eta| <= 1
        ([0.5 + 1.2j, 0.5 - 1.2j], 2 * 0.5 / (0.25 + 1.44)),
        ([-1.5, 0.5 + 1.2j], 2 * 0.5 / (0.25 + 1.44)),
        ([1.1], 0.0),
        ([-3.0, 1.0], 0.0),
    ],
)
def test_the_damping_that_stabilises(eigenvalues, expected):
    assert stable_step_size(torch.tensor(eigenvalues, dtype=torch.complex128)) == pytest.approx(expected)


@pytest.mark.parametrize("matrix", [torch.tensor([[-1.5]]).double(), rotation(1.3, 1.2, 2)])
def test_a_damped_iteration_converges_just_below_that_damping_and_not_just_above(matrix):
    largest = stable_step_size(torch.linalg.eigvals(matrix))
    f, start = linear(matrix, 1.0), torch.ones(1, 1, len(matrix), dtype=torch.float64)
    goal = torch.linalg.solve(torch.eye(len(matrix)).double() - matrix, torch.ones(len(matrix)).double())
    for eta, settles in [(0.95 * largest, True), (1.05 * largest, False)]:
        state = iterate(lambda z, eta=eta: eta * f(z) + (1 - eta) * z, start, 600)[-1]
        assert (float((state - goal).norm()) < 1e-2) == settles


def test_calls_that_cannot_be_right_are_refused():
    point = normal(1, 2, 4, seed=14)
    with pytest.raises(ValueError, match="restarts is 0"):
        spectral_norm(lambda z: z, point, restarts=0)
    with pytest.raises(ValueError, match="derivative is 'magic'"):
        spectral_norm(lambda z: z, point, derivative="magic")
    with pytest.raises(ValueError, match="a map of a space into itself"):
        growth_rate(lambda z: z[:, :1], point)
    with pytest.raises(ValueError, match="no gradient to its argument"):
        spectral_radius(lambda z: z.detach(), point)
    with pytest.raises(ValueError, match="has not diverged"):
        spectral_radius(lambda z: z / 0, point)
    with pytest.raises(ValueError, match="expected one or more of the tokens 0 to 1"):
        token_spectrum(lambda z: z, point, torch.tensor([2]))
    with pytest.raises(ValueError, match=r"expected \(B, T, H\)"):
        token_spectrum(lambda z: z, point[0], torch.tensor([0]))
