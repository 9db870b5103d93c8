"""Models of the gain profile against a plain oracle, which runs all loops of a token at once where that is possible."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # where a benchmark finds its parts

from loop_gain.models import ARMS, CAP, LONGER, LOOPS, NARROW, RANDOM, Arm, new_model, weights
from loop_gain.reading import states
from loop_gain.tasks import Work, mask

from vpo.looped import FixedDepth, LoopedForCausalLM, RandomDepth

HEADS, WIDTH, THETA, LOOPS_RUN = 4, 16, 1000.0, 4
SWITCHES = [(False, False), (True, False), (False, True), (True, True)]


def model_with(shift: bool, frozen: bool) -> LoopedForCausalLM:
    model = new_model(Arm(LOOPS_RUN, shift=shift, frozen=frozen), WIDTH, seed=0).double()
    torch.manual_seed(1)
    for parameter in model.parameters():  # an adapter as it starts ignores the state, and small weights hide mistakes
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def work_of(ids: Tensor, window: int | None) -> Work:
    return Work(ids, ids, mask(ids.shape[1], window))


# --- the oracle -------------------------------------------------------------------------------------------------------


def rotated(vector: Tensor, place: int) -> Tensor:
    """(heads, D), each pair of channels (k, k + D/2) turned by its angle."""
    half = vector.shape[-1] // 2
    angle = place * THETA ** (-torch.arange(half).double() / half)
    first, second = vector[:, :half], vector[:, half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], 1)


def keys_values(layer, hidden: Tensor, place: int) -> tuple[Tensor, Tensor]:
    normed = layer.input_layernorm(hidden)
    key, value = (project(normed).view(HEADS, -1) for project in (layer.self_attn.k_proj, layer.self_attn.v_proj))
    return rotated(key, place), value


def layer_output(layer, hidden: Tensor, place: int, seen: list[tuple[Tensor, Tensor]]) -> Tensor:
    query = rotated(layer.self_attn.q_proj(layer.input_layernorm(hidden)).view(HEADS, -1), place)
    mixed = []
    for head in range(HEADS):
        scores = torch.stack([query[head] @ key[head] for key, _ in seen]) / (WIDTH // HEADS) ** 0.5
        shares = scores.exp() / scores.exp().sum()
        mixed.append(sum(share * value[head] for share, (_, value) in zip(shares, seen, strict=True)))
    hidden = hidden + layer.self_attn.o_proj(torch.cat(mixed))
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def in_turn(length: int, loops: int) -> list[list[tuple[int, int]]]:
    """Loop after loop, one token at a time."""
    return [[(place, loop)] for loop in range(loops) for place in range(length)]


def in_parallel(length: int, loops: int) -> list[list[tuple[int, int]]]:
    """All loops of a token at once: ``length`` steps instead of ``length * loops``."""
    return [[(place, loop) for loop in range(loops)] for place in range(length)]


def oracle(model: LoopedForCausalLM, ids: Tensor, window: int, shift: bool, frozen: bool, order) -> Tensor:
    """(loops, T, H) states; what a step makes is there for the next only, so a wrong order is a KeyError."""
    prelude, core = model.model.layers
    length, adapter = len(ids), model.model.injection.adapter
    embedded = model.model.embed_tokens(ids)

    def visible(place: int) -> range:
        return range(max(0, place - window + 1), place + 1)

    signal = [
        layer_output(prelude, embedded[i], i, [keys_values(prelude, embedded[j], j) for j in visible(i)])
        for i in range(length)
    ]
    entered: dict[tuple[int, int], Tensor] = {}
    left: dict[tuple[int, int], Tensor] = {}
    for step in order(length, LOOPS_RUN):
        made = {}
        for place, loop in step:
            entering = signal[place]
            if loop:
                source = place - 1 if shift else place
                state = left[source, loop - 1] if source >= 0 else torch.zeros_like(entering)
                entering = adapter @ torch.cat([state, entering])
            entered[place, loop] = entering
            # A frozen cache is the first loop's keys and values, made anew here from what entered that loop.
            seen = [keys_values(core, signal[j] if frozen else entered[j, loop], j) for j in visible(place)]
            new = layer_output(core, entering, place, seen)
            if loop:  # a number of the first loop's, wanted when all layers are done
                first = (left | made)[place, 0]
                new = new * first.square().mean().sqrt() / new.square().mean().sqrt()
            made[place, loop] = new
        left |= made
    return torch.stack([torch.stack([left[i, t] for i in range(length)]) for t in range(LOOPS_RUN)])


@pytest.mark.parametrize("window", [3, 99])
@pytest.mark.parametrize(("shift", "frozen"), SWITCHES)
@torch.no_grad()
def test_every_loop_is_the_oracles(shift, frozen, window):
    model, ids = model_with(shift, frozen), torch.tensor([62, 3, 1, 0, 2, 2, 1])
    found = torch.stack(states(model, work_of(ids[None], window), LOOPS_RUN)[1:])[:, 0]
    for order in (in_turn, in_parallel) if shift else (in_turn,):
        assert torch.allclose(found, oracle(model, ids, window, shift, frozen, order), atol=1e-5)


@torch.no_grad()
def test_without_the_shift_the_loops_of_a_token_cannot_run_at_once():
    """The control of the oracle: its order matters."""
    with pytest.raises(KeyError):
        oracle(model_with(False, True), torch.tensor([62, 3, 1]), 99, False, True, in_parallel)


@pytest.mark.parametrize(("shift", "frozen"), SWITCHES)
@torch.no_grad()
def test_the_switches_change_the_second_loop_and_not_the_first(shift, frozen):
    ids = torch.tensor([[62, 3, 1, 0, 2]])
    plain, other = (states(model_with(*each), work_of(ids, None), 3) for each in ((False, False), (shift, frozen)))
    assert torch.equal(plain[1], other[1])
    assert torch.allclose(plain[2], other[2], atol=1e-3) == (not shift and not frozen)


@pytest.mark.parametrize(("shift", "frozen"), SWITCHES)
@torch.no_grad()
def test_no_loop_of_a_token_sees_a_later_token(shift, frozen):
    model, ids = model_with(shift, frozen), torch.tensor([[62, 3, 1, 0, 2, 2, 1]])
    before = states(model, work_of(ids, None), LOOPS_RUN)
    for place in range(1, 7):
        changed = ids.clone()
        changed[0, place:] = 9
        after = states(model, work_of(changed, None), LOOPS_RUN)
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[:, :place], new[:, :place])
            assert not torch.allclose(old[:, place], new[:, place], atol=1e-3)


@pytest.mark.parametrize(
    ("shift", "frozen", "reach"),
    [
        (False, False, lambda loop: 3 + 3 * loop),  # the window of the prelude, and of every loop
        (True, False, lambda loop: 2 + 4 * loop),  # and the shift, from the second loop on
        (False, True, lambda loop: 6),  # the first loop's keys know no more in the later ones
        (True, True, lambda loop: 5 + loop),  # the shift alone carries on
    ],
)
@torch.no_grad()
def test_how_far_back_a_loop_sees_through_a_window_of_four(shift, frozen, reach):
    model, ids = model_with(shift, frozen), torch.randint(10, (1, 24), generator=torch.Generator().manual_seed(0))
    before = states(model, work_of(ids, 4), LOOPS_RUN)
    far = [0] * LOOPS_RUN
    for distance in range(24):
        changed = ids.clone()
        changed[0, 23 - distance] = 11
        after = states(model, work_of(changed, 4), LOOPS_RUN)
        for loop in range(LOOPS_RUN):
            if not torch.equal(before[loop + 1][0, 23], after[loop + 1][0, 23]):
                far[loop] = distance
    assert far == [reach(loop) for loop in range(1, LOOPS_RUN + 1)]


# --- the arms ---------------------------------------------------------------------------------------------------------


def test_controls_have_the_compute_and_the_weights_that_they_are_to_have():
    assert [ARMS[name].compute for name in LOOPS] == [1.0, 1.5, 2.0, 2.5]
    assert ARMS[LONGER].compute == ARMS["4 loops"].compute
    assert ARMS[RANDOM].compute == sum(ARMS[name].compute for name in LOOPS) / 4
    looped, narrow = (weights(new_model(ARMS[name], 64, 0), ARMS[name]) for name in ("4 loops", NARROW))
    assert narrow == pytest.approx(looped, rel=0.01)


def test_arms_of_one_shape_start_from_the_same_weights():
    first = dict(new_model(ARMS["1 loop"], WIDTH, 3).named_parameters())
    for name, arm in ARMS.items():
        if name != NARROW:
            assert all(torch.equal(first[key], each) for key, each in new_model(arm, WIDTH, 3).named_parameters())
    assert not torch.equal(first["lm_head.weight"], new_model(ARMS["1 loop"], WIDTH, 4).lm_head.weight)


def test_each_arm_is_trained_at_its_depth():
    assert [ARMS[name].policy for name in LOOPS] == [FixedDepth(n) for n in range(1, CAP + 1)]
    assert ARMS[RANDOM].policy == RandomDepth(1, CAP)
