"""What layers do to the residual stream, and which of them are looped for it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from tests.smollm2 import smollm2_fixture  # noqa: F401
from vpo.looped.convert import convert
from vpo.looped.influence import OUTSIZE, angular_distance, block_influence, largest_update, suggest_parts


def source(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=31, hidden_size=32, intermediate_size=48, num_hidden_layers=6, num_attention_heads=4
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def silence(layer: torch.nn.Module) -> None:
    """Let a layer do nothing to the residual stream."""
    torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    torch.nn.init.zeros_(layer.mlp.down_proj.weight)


def tokens(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_influence_is_one_minus_the_cosine_of_what_goes_in_and_what_comes_out():
    model, ids = source(), tokens(2, 7)
    states = model(
        ids, output_hidden_states=True
    ).hidden_states  # the last one is normed, so the last layer is left out
    expected = [1 - torch.nn.functional.cosine_similarity(a, b, dim=-1).mean().item() for a, b in pairwise(states[:-1])]
    influence = block_influence(model, [ids])
    assert influence.shape == (6,)
    assert influence[:-1].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_last_layer_is_measured_before_the_final_norm():
    model = source()
    silence(model.model.layers[-1])
    torch.nn.init.normal_(model.model.norm.weight)
    assert abs(block_influence(model, [tokens(2, 7)])[-1].item()) < 1e-6


def test_a_layer_that_does_nothing_has_no_influence_and_no_angle():
    model, ids = source(), tokens(2, 7)
    silence(model.model.layers[3])
    influence, angle, update = (f(model, [ids]) for f in (block_influence, angular_distance, largest_update))
    assert abs(influence[3]) < 1e-6
    assert angle[3] < 1e-3  # the arc cosine is steep at 1
    assert update[3] == 0
    assert all(float(influence[i]) > 0.01 for i in range(6) if i != 3)


def test_the_angle_of_one_layer_follows_from_a_token_and_of_several_from_their_ends():
    model, ids = source(), tokens(1, 1)
    one = torch.cos(math.pi * angular_distance(model, [ids]))
    assert torch.allclose(1 - one, block_influence(model, [ids]), atol=1e-6)
    states = model(ids, output_hidden_states=True).hidden_states
    span = angular_distance(model, [ids], span=3)
    cosine = torch.nn.functional.cosine_similarity(states[1], states[4], dim=-1).item()
    assert span.shape == (4,)
    assert span[1].item() == pytest.approx(math.acos(cosine) / math.pi, abs=1e-5)


def test_an_outsize_activation_of_a_single_token_shows_in_the_largest_update():
    model, ids = source(), tokens(1, 12)
    ids[0, 0] = 3

    def explode(_module, _inputs, output):
        output = output.clone()
        output[:, 0, 5] += 5000
        return output

    before = largest_update(model, [ids])
    model.model.layers[2].register_forward_hook(explode)
    after = largest_update(model, [ids])
    assert before[2] < OUTSIZE < after[2]
    assert after[:2].equal(before[:2])


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), side=st.sampled_from(["left", "right"]),
    split=st.booleans(),
)  # fmt: skip
def test_padding_and_the_division_into_batches_do_not_count(lengths, side, split):
    model = source()
    rows = [tokens(1, length, seed=i) for i, length in enumerate(lengths)]
    longest = max(lengths)
    padded, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(0, row.shape[1]) if side == "right" else slice(longest - row.shape[1], longest)
        padded[i, where], mask[i, where] = row[0], 1
    together = [{"input_ids": padded, "attention_mask": mask}]
    if split:
        together = [{"input_ids": padded[i : i + 1], "attention_mask": mask[i : i + 1]} for i in range(len(rows))]
    for measure in (block_influence, angular_distance, largest_update):
        assert torch.allclose(measure(model, together), measure(model, rows), atol=1e-4)


def test_measuring_leaves_the_model_as_it_was():
    model = source().train()
    block_influence(model, [tokens(1, 4)])
    assert model.training
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.model.layers)


def test_what_cannot_be_measured_is_refused():
    model = source()
    with pytest.raises(ValueError, match="hold no token"):
        block_influence(model, [])
    with pytest.raises(ValueError, match="hold no token"):
        block_influence(model, [{"input_ids": tokens(1, 3), "attention_mask": torch.zeros(1, 3)}])
    with pytest.raises(ValueError, match=r"shape \(3,\).*expected the same \(B, T\)"):
        block_influence(model, [tokens(1, 3)[0]])
    with pytest.raises(ValueError, match="span is 7: expected 1 to 6"):
        angular_distance(model, [tokens(1, 3)], span=7)
    with pytest.raises(ValueError, match="is looped already"):
        block_influence(convert(model, 2, 3, 1), [tokens(1, 3)])
    with pytest.raises(ValueError, match="has no list of layers"):
        block_influence(torch.nn.Linear(2, 2), [tokens(1, 3)])


# --- choosing the core ---------------------------------------------------------------------------------------------


def test_the_window_with_the_least_influence_is_the_core():
    influence = torch.tensor([0.9, 0.2, 0.1, 0.1, 0.3, 0.8])
    assert suggest_parts(influence, 2) == ((0, 1), (2, 3), (4, 5))
    assert suggest_parts(influence, 3) == ((0,), (1, 2, 3), (4, 5))


@given(st.lists(st.floats(0, 1), min_size=3, max_size=12), st.data())
def test_no_allowed_window_has_less_influence_and_the_ends_are_never_looped(values, data):
    influence = torch.tensor(values, dtype=torch.float64)
    size = data.draw(st.integers(1, len(values) - 2))
    parts = suggest_parts(influence, size)
    assert sum(parts, ()) == tuple(range(len(values)))
    assert len(parts.core) == size
    assert parts.prelude and parts.coda
    best = min(sum(values[i : i + size]) for i in range(1, len(values) - size))
    assert sum(values[i] for i in parts.core) == pytest.approx(best)


def test_more_layers_can_be_kept_out_of_the_loop():
    influence = torch.tensor([0.9, 0.0, 0.1, 0.1, 0.3, 0.0, 0.8])
    assert suggest_parts(influence, 1, min_prelude=2, min_coda=2).core == (2,)
    assert suggest_parts(influence, 2, avoid=[1, 2]).core == (4, 5)


def test_a_core_that_does_not_fit_is_refused():
    influence = torch.rand(6)
    for size in (0, 5):
        with pytest.raises(ValueError, match=f"core_layers is {size}: no such window fits into 6 layers"):
            suggest_parts(influence, size)
    with pytest.raises(ValueError, match="after the core, without 3-3"):
        suggest_parts(influence, 3, avoid=[3])
    with pytest.raises(ValueError, match="min_prelude is 0"):
        suggest_parts(influence, 2, min_prelude=0)
    with pytest.raises(ValueError, match="expected one finite number"):
        suggest_parts(torch.tensor([0.1, math.nan, 0.2]), 1)


def test_suggested_parts_convert():
    model = source()
    looped = convert(model, *suggest_parts(block_influence(model, [tokens(2, 8)]), 3))
    assert looped.config.core_layers == 3


# --- a real model --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@torch.no_grad()
def test_smollm2_settles_only_with_its_outsize_layer_outside_the_core(smollm2):
    model, tokenizer = smollm2.load()
    texts = ["The water boiled at one hundred degrees, so the scientist wrote down", "def fibonacci(n): return"]
    batches = [tokenizer(text, return_tensors="pt") for text in texts]
    influence, updates = block_influence(model, batches), largest_update(model, batches)
    outsize = [i for i in range(1, 29) if updates[i] > OUTSIZE]
    assert outsize == [11]
    naive, careful = suggest_parts(influence, 14), suggest_parts(influence, 14, avoid=outsize)
    assert 11 in naive.core and careful.core == tuple(range(12, 26))

    ids = batches[0]["input_ids"]
    target = model(ids).logits.log_softmax(-1)

    def divergence(parts, num_loops: int) -> float:
        looped = convert(model, *parts, retention_init=0.02)
        logprobs = looped(ids, num_loops=num_loops).logits.log_softmax(-1)
        return (target.exp() * (target - logprobs)).sum(-1).mean().item()

    swinging, settled = ([divergence(parts, n) for n in (2, 3, 4)] for parts in (naive, careful))
    print(f"KL to the source at 2, 3, 4 loops, retention 0.02: {swinging} with layer 11, {settled} without")
    assert swinging[0] > 0.3 and swinging[1] < 0.05 and swinging[2] > 0.3
    assert max(settled) < 0.05
