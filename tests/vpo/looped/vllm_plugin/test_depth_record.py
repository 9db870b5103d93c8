"""Names of requests, and depths put together from steps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from trainers.vllm_depths import keep_depths, sampled_depths
from vpo.looped import FixedDepth
from vpo.looped.vllm_plugin.depth_record import DepthRecord, TokenDepths, request_of


@pytest.mark.parametrize(
    ("internal", "request_and_index"),
    [
        ("17-0f3a9c1e", ("17", 0)),
        ("2_17-0f3a9c1e", ("17", 2)),
        ("cmpl-7-abc-0f3a9c1e", ("cmpl-7-abc", 0)),
        ("17", ("17", 0)),
    ],
)
def test_a_request_is_found_by_the_name_that_vllm_gives_it_inside(internal, request_and_index):
    assert request_of(internal) == request_and_index


def part(*depths: int) -> dict[str, np.ndarray]:
    zeros = np.zeros(len(depths))
    return {"depth": np.array(depths), "damping": zeros, "residual": zeros, "reason": zeros}


def test_what_is_computed_again_after_a_request_was_pushed_out_stands():
    record = DepthRecord(lambda: [], block_size=4)
    record._seen = {"a": [(0, part(1, 2, 3)), (3, part(4)), (0, part(1, 2, 2, 5))]}
    assert record.take()["a"].depth.tolist() == [1, 2, 2, 5]
    assert record.take() == {}


def test_tokens_from_before_the_recording_are_not_made_up():
    record = DepthRecord(lambda: [], block_size=4)
    record._seen = {"a": [(2, part(3))]}
    with pytest.raises(RuntimeError, match="before depths were recorded"):
        record.take()


def row(*depths: int) -> TokenDepths:
    return TokenDepths(
        np.array(depths, np.int16),
        np.arange(len(depths)),
        np.full(len(depths), 0.5, np.float32),
        np.ones(len(depths), np.int8),
    )


def test_depths_are_aligned_with_the_padded_batch():
    """Prompts of 2 and 1 tokens, padded to 3; completions of 2 and 3, whose last tokens were not fed in."""
    rows = [row(4, 5, 6), row(7, 8, 9, 99)]  # the second engine step ran one token too many
    sampled = sampled_depths(
        rows, [[-0.1, -0.2], [-0.3, -0.4, -0.5]], FixedDepth(9), [[5, 6], [7]], 3, torch.device("cpu")
    )
    assert sampled.trace.depth.tolist() == [[1, 4, 5, 6, 1, 1], [1, 1, 7, 8, 9, 1]]
    assert sampled.trace.damping.tolist() == [[0, 0, 1, 2, 0, 0], [0, 0, 0, 1, 2, 0]]
    assert sampled.trace.reason.tolist() == [[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]]
    torch.testing.assert_close(sampled.logps, torch.tensor([[-0.1, -0.2, 0.0], [-0.3, -0.4, -0.5]]))


def test_depths_of_another_sequence_are_refused():
    with pytest.raises(RuntimeError, match=r"depths of 5 tokens.*expected 2"):
        sampled_depths([row(1, 1, 1, 1, 1)], [[-0.1]], FixedDepth(1), [[5, 6]], 2, torch.device("cpu"))


def test_depths_are_kept_beside_what_trl_takes_from_an_engine():
    class Engine:
        def generate(self, prompts):
            class Output:
                outputs = [type("Completion", (), {"depths": p})() for p in prompts]

            return [Output()]

    engine = Engine()
    with keep_depths(engine) as kept:
        assert len(engine.generate([1, 2])) == 1
    assert kept == [1, 2]
    engine.generate([3])
    assert kept == [1, 2]


def test_depths_keep_every_bit_as_plain_numbers():
    """vLLM gives what comes out of an engine's own process as plain lists and mappings."""
    draw = np.random.default_rng(0)
    made = TokenDepths(
        np.array([1, 4, 2], np.int16),
        np.array([0, 2**62 + 1, 5], np.int64),
        draw.random(3).astype(np.float32),
        np.array([0, 1, 2], np.int8),
    )
    read = TokenDepths.of(json.loads(json.dumps(made.plain())))
    for name in ("depth", "damping", "residual", "reason"):
        there, here = getattr(made, name), getattr(read, name)
        assert here.dtype == there.dtype and (here == there).all()
