"""Gradients at chosen depths."""

from __future__ import annotations

import pytest
import torch

from tests.vpo.looped.tiny_looped import INJECTIONS, POLICIES, build, tokens
from vpo.looped import RandomDepth, Replay


@pytest.mark.parametrize("planes", [None, 1, 2])
@pytest.mark.parametrize("name", ["fixed", "fixed_point"])
def test_gradients_through_a_cache_are_those_without_it(name, planes):
    """In evaluation mode a model returns a cache by default; a loss taken there must not lose its gradient."""
    model, ids = build(cache_planes=planes).double(), tokens(2, 8)
    weight = torch.randn(2, 8, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for use_cache in (False, True):
        model.zero_grad()
        (model(ids, depth_policy=POLICIES[name], use_cache=use_cache).logits * weight).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert (gradients[0] - gradients[1]).abs().max() < 1e-10
    # And in two chunks, where the gradient stops at the cache: it runs, whatever is trained.
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is model.model.layers[1].self_attn.q_proj.weight)
    cache = model(ids[:, :5], depth_policy=POLICIES[name], use_cache=True).past_key_values
    second = model(ids[:, 5:], past_key_values=cache, depth_policy=POLICIES[name])
    second.logits.sum().backward()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointing_makes_every_pass_of_the_core_again_in_the_backward_pass(checkpointing):
    model, ids = build().train(), tokens(3, 7)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    calls = []
    model.model.layers[1].mlp.register_forward_hook(lambda *_: calls.append(1))
    depths = torch.tensor([[4], [2], [3]]).expand(-1, 7)
    loss = model(ids, depth_policy=Replay(depths), use_cache=False).logits.sum()
    assert len(calls) == 4
    loss.backward()
    assert len(calls) == (8 if checkpointing else 4)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("planes", [None, 2])
def test_gradients_at_mixed_depths_are_those_of_each_row_at_its_own_depth(planes, checkpointing):
    model, ids = build(cache_planes=planes).double().train(), tokens(6, 9)
    depths = torch.tensor([1, 2, 3, 4, 1, 5])
    weight = torch.randn(6, 9, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat(
            [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in model.parameters()]
        )

    apart = sum(
        (model(ids[i : i + 1], num_loops=int(d), use_cache=False).logits * weight[i : i + 1]).sum()
        for i, d in enumerate(depths)
    )
    expected = gradients(apart)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    together = model(ids, depth_policy=Replay(depths[:, None].expand(-1, 9)), use_cache=False)
    assert (gradients((together.logits * weight).sum()) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("name", [*POLICIES, "random", "replay"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("injection", INJECTIONS)
def test_gradients_reach_every_core_parameter_under_every_policy(injection, checkpointing, name):
    model, ids = build(injection=injection, halt_gate=True, scale_control="norm").train(), tokens(4, 9)
    depths = torch.randint(1, 5, (4, 9), generator=torch.Generator().manual_seed(0))
    extra = {"random": RandomDepth(1, 4, grad_loops=2), "replay": Replay(depths)}
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    out = model(ids, labels=ids, use_cache=False, depth_policy={**POLICIES, **extra}[name])
    out.loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The gate steers by comparison, which has no gradient, except where ACT averages with it.
    expected = [] if name == "act" else ["model.halt_gate.weight", "model.halt_gate.bias"]
    assert silent == expected
    assert all(p.grad is not None for p in model.parameters())  # zero, not absent: DDP waits for every parameter


def test_truncated_backpropagation_keeps_the_values_and_cuts_the_gradient():
    model, ids = build().double().train(), tokens(3, 7)
    torch.manual_seed(4)
    whole = model(ids, depth_policy=RandomDepth(3, 6), use_cache=False)
    torch.manual_seed(4)
    cut = model(ids, depth_policy=RandomDepth(3, 6, grad_loops=1), use_cache=False)
    assert torch.equal(whole.logits, cut.logits)
    embedding = model.model.embed_tokens.weight
    (full,) = torch.autograd.grad(whole.logits.sum(), embedding)
    (short,) = torch.autograd.grad(cut.logits.sum(), embedding)
    assert (full - short).abs().max() > 1e-3
    # By hand: the last loop of each row with the state before it as a constant.
    depths = cut.loop_depths[:, 0].tolist()
    expected = torch.zeros_like(embedding)
    for row, depth in enumerate(depths):
        (one,) = torch.autograd.grad(_last_loop_only(model, ids[row : row + 1], depth).sum(), embedding)
        expected += one
    assert torch.allclose(short, expected, atol=1e-10)


def _last_loop_only(model, ids, depth):
    """Logits after ``depth`` loops with the gradient of the last loop alone, through the model's own parts."""
    backbone = model.model
    position_ids = torch.arange(ids.shape[1])[None]
    rotary = backbone.rotary_emb(backbone.embed_tokens(ids), position_ids=position_ids)
    inputs = {"position_embeddings": rotary, "position_ids": position_ids, "attention_mask": None}
    signal = backbone.layers[0](backbone.embed_tokens(ids), **inputs)
    state = signal
    for loop in range(depth):
        with torch.set_grad_enabled(loop == depth - 1):
            state = backbone.injection(state, signal) if loop else signal
            for layer in backbone.layers[1:3]:
                state = layer(state, **inputs)
    return model.lm_head(backbone.norm(backbone.layers[3](state, **inputs)))
