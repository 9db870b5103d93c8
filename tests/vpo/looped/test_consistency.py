"""One more pass of the core, measured and thrown away."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig

from vpo.looped import FixedDepth, FixedPoint, LoopedConfig, LoopedForCausalLM, RandomDepth
from vpo.looped.consistency import Lookahead, consistency_loss


def build(**options) -> LoopedForCausalLM:
    torch.manual_seed(0)
    layers = LlamaConfig(
        vocab_size=31,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, retention_init=0.4, **options))
    for name, parameter in model.named_parameters():
        if "injection" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(1))


def plain_states(model: LoopedForCausalLM, ids: torch.Tensor, loops: int) -> list[torch.Tensor]:
    """z_1 ... z_loops by a loop that knows of no policy, cache or padding."""
    backbone = model.model
    hidden = backbone.embed_tokens(ids)
    positions = torch.arange(ids.shape[1])[None]
    inputs = {"position_embeddings": backbone.rotary_emb(hidden, position_ids=positions), "attention_mask": None}
    signal = backbone.layers[0](hidden, **inputs)
    states, entering = [], signal
    for _ in range(loops):
        state = entering
        for layer in backbone.core:
            state = layer(state, **inputs)
        states.append(state)
        entering = backbone.injection(state, signal)
    return states


def test_the_loss_is_the_mean_of_squared_relative_changes():
    state = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])
    after = state + torch.tensor([[[5.0, 0.0], [0.0, 1.0]]])
    assert consistency_loss(state, after).item() == pytest.approx((25 / 25 + 1 / 4) / 2)
    assert consistency_loss(state, after, torch.tensor([[False, True]])).item() == pytest.approx(1 / 4)
    assert consistency_loss(state, after, torch.tensor([[False, False]])).item() == 0
    assert consistency_loss(state, state).item() == 0


def test_growing_the_state_is_no_way_to_lower_the_loss():
    state = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    consistency_loss(state, state + 1.0).backward()  # the change does not depend on the state
    assert torch.equal(state.grad, torch.zeros_like(state))


@pytest.mark.parametrize("loops", [1, 3])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_pass_beyond_the_exit_is_measured_with_its_gradient(loops, checkpointing):
    model, ids = build().train(), tokens(2, 7)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    lookahead = Lookahead(FixedDepth(loops))
    model(ids, depth_policy=lookahead, use_cache=False)
    states = plain_states(model, ids, loops + 1)
    assert torch.allclose(lookahead.exit_state, states[-2], atol=1e-5)
    assert torch.allclose(lookahead.next_state, states[-1], atol=1e-5)
    wanted = consistency_loss(states[-2], states[-1])
    weights = [p for p in model.parameters() if p is not model.lm_head.weight]
    expected = torch.autograd.grad(wanted, weights, allow_unused=True, retain_graph=True)
    found = torch.autograd.grad(lookahead.loss(torch.ones(2, 7, dtype=torch.bool)), weights, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-5)
    assert any(one is not None and one.abs().sum() > 0 for one in found)


@torch.no_grad()
def test_looking_ahead_does_not_change_the_output():
    model, ids = build(), tokens(5, 7)
    mask = torch.ones_like(ids)
    mask[0, :3] = mask[3, 5:] = 0
    for policy in (FixedDepth(2), RandomDepth(1, 4)):
        torch.manual_seed(7)
        plain = model(ids, attention_mask=mask, depth_policy=policy, use_cache=False)
        torch.manual_seed(7)
        ahead = model(ids, attention_mask=mask, depth_policy=Lookahead(policy), use_cache=False)
        real = mask.bool()
        assert torch.allclose(ahead.logits[real], plain.logits[real], atol=1e-5)
        assert torch.equal(ahead.loop_depths[real], plain.loop_depths[real] + 1)


@torch.no_grad()
def test_rows_of_different_depth_are_each_measured_at_their_own_exit():
    model, ids = build(), tokens(6, 5)
    lookahead = Lookahead(RandomDepth(1, 4))
    torch.manual_seed(3)
    depths = model(ids, depth_policy=lookahead, use_cache=False).loop_depths[:, 0] - 1
    assert len(depths.unique()) > 1
    for row, depth in enumerate(depths.tolist()):
        states = plain_states(model, ids[row : row + 1], depth + 1)
        assert torch.allclose(lookahead.exit_state[row], states[-2][0], atol=1e-5)
        assert torch.allclose(lookahead.next_state[row], states[-1][0], atol=1e-5)


def test_truncated_backpropagation_keeps_the_extra_pass():
    """With one gradient loop, the loss reaches back through the last ordinary pass and the extra one."""
    model, ids = build().train(), tokens(2, 5)
    lookahead = Lookahead(RandomDepth(3, 3, grad_loops=1))
    model(ids, depth_policy=lookahead, use_cache=False)
    assert lookahead.next_state.requires_grad
    lookahead.loss(torch.ones(2, 5, dtype=torch.bool)).backward()
    assert all(p.grad is not None for p in model.model.core.parameters())


def test_a_policy_that_decides_token_by_token_is_refused():
    with pytest.raises(ValueError, match="decides token by token: expected FixedDepth or RandomDepth"):
        Lookahead(FixedPoint())
