"""At which depth vLLM ran every token, request by request: what exact replay in training needs.

Depths are kept as keys and values are, by their place in the paged cache: a prompt whose beginning was computed for
an earlier request and is read from the prefix cache has its depths there.

Shape letters: N tokens of a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vpo.looped.depth import DepthTrace

_FIELDS = {"depth": np.int16, "damping": np.int64, "residual": np.float32, "reason": np.int8}


@dataclass
class TokenDepths:
    """Depths of one sequence: its prompt, and all tokens of its completion but the last, which was not fed in.

    Args:
        depth: (T,) loops, 1 or more.
        damping: (T,) bits of step-size reductions, see :class:`vpo.looped.DepthTrace`.
        residual: (T,) change of the state in each token's last loop.
        reason: (T,) a :class:`vpo.looped.HaltReason`.
    """

    depth: np.ndarray
    damping: np.ndarray
    residual: np.ndarray
    reason: np.ndarray

    def plain(self) -> dict[str, list[float]]:
        """Its numbers in lists, which is all that vLLM carries faithfully out of the process of an engine."""
        return {name: getattr(self, name).tolist() for name in _FIELDS}

    @classmethod
    def of(cls, plain: Mapping[str, Sequence[float]]) -> TokenDepths:
        """Read them back from :meth:`plain`."""
        return cls(**{name: np.asarray(plain[name], kind) for name, kind in _FIELDS.items()})


class DepthRecord:
    """Collects what the steps of an engine do.

    Args:
        requests: The requests of the step that is running, in the order of its tokens.
        block_size: Tokens of a block of the cache, as the attention counts them.
    """

    def __init__(self, requests: Callable[[], Sequence[str]], block_size: int) -> None:
        self._requests, self._block_size = requests, block_size
        self._slots = {name: np.zeros(0, kind) for name, kind in _FIELDS.items()}
        self._seen: dict[str, list[tuple[int, dict[str, np.ndarray]]]] = {}

    def see(self, trace: DepthTrace, positions: Tensor, layer: str) -> None:
        """Take note of one step.

        Args:
            trace: (1, N) what its tokens did; more than N if the step was padded.
            positions: (N,) of the tokens in their sequences.
            layer: Name of an attention layer, whose metadata says which token belongs to whom.
        """
        from vllm.forward_context import get_forward_context  # here: the rest is of use without vLLM

        metadata: Any = get_forward_context().attn_metadata
        if not isinstance(metadata, dict):
            raise RuntimeError("vLLM splits its steps in two (dual batch overlap): depths cannot be recorded so.")
        ours = metadata[layer]
        count = ours.num_actual_tokens
        slots = ours.slot_mapping[:count].cpu().numpy()
        values = {name: getattr(trace, name)[0, :count].cpu().numpy().astype(k) for name, k in _FIELDS.items()}
        self._store(slots, values)
        starts, places = ours.query_start_loc.cpu().numpy(), positions[:count].cpu().numpy()
        names, table = list(self._requests()), ours.block_table
        for row, name in enumerate(names):
            begin, end = int(starts[row]), int(starts[row + 1])
            if begin == end:
                continue
            first = int(places[begin])
            if name not in self._seen:
                self._seen[name] = []
                if first:
                    self._seen[name].append((0, self._cached(table[row].cpu().numpy(), first)))
            self._seen[name].append((first, {key: value[begin:end] for key, value in values.items()}))

    def take(self) -> dict[str, TokenDepths]:
        """Depths by request since the last call, which are then forgotten."""
        taken = {name: _joined(parts) for name, parts in self._seen.items()}
        self._seen = {}
        return taken

    def _store(self, slots: np.ndarray, values: dict[str, np.ndarray]) -> None:
        needed = int(slots.max(initial=-1)) + 1
        have = len(self._slots["depth"])
        for name, stored in self._slots.items():
            if needed > have:
                stored = self._slots[name] = np.concatenate(
                    [stored, np.zeros(max(needed, 2 * have) - have, stored.dtype)]
                )
            stored[slots] = values[name]

    def _cached(self, blocks: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Of the first ``length`` tokens of a sequence that were there already."""
        place = np.arange(length)
        slots = blocks[place // self._block_size].astype(np.int64) * self._block_size + place % self._block_size
        return {name: stored[slots].copy() for name, stored in self._slots.items()}


def request_of(internal: str) -> tuple[str, int]:
    """The request that a user knows, and which of its n completions: ``"2_17-0f3a9c1e"`` -> ``("17", 2)``."""
    found = re.fullmatch(r"(?:(\d+)_)?(.+?)(?:-[0-9a-f]{8})?", internal)
    assert found is not None  # it matches any text
    return found[2], int(found[1] or 0)


def _joined(parts: list[tuple[int, dict[str, np.ndarray]]]) -> TokenDepths:
    """What was computed last stands: a request that was pushed out of the cache is computed again."""
    length = max(first + len(values["depth"]) for first, values in parts)
    whole = {name: np.zeros(length, kind) for name, kind in _FIELDS.items()}
    for first, values in parts:
        for name, array in whole.items():
            array[first : first + len(values[name])] = values[name]
    if not whole["depth"].all():
        raise RuntimeError(
            "some tokens of a request were computed before depths were recorded: ask for them from the start, or "
            "empty the prefix cache (llm.reset_prefix_cache())."
        )
    return TokenDepths(**whole)
