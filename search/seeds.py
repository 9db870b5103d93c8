"""Every request its own seed, every decision its own generator, all derived from one run seed.

A loop that sends one constant seed gets byte-identical completions for equal prompts. Seeds here are hashes of (run
seed, problem, number), so they do not depend on scheduling, on the number of problems, or on what was done before a
restart. 63 bits: 10^5 requests collide with probability 5e-10 (31 bits would collide for certain).
"""

from __future__ import annotations

import hashlib
import json
import random

# Made once: `json.dumps` with options makes an encoder for every call
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode


def stable_hash(*parts: object) -> int:
    """Hash JSON-able parts to 63 bits, the same in every process and on every Python version.

    Args:
        *parts: Strings, numbers, or nested lists and dicts of them. Order matters, and ("ab",) differs from ("a", "b").

    Returns:
        An integer in [0, 2**63).
    """
    canonical = _canonical(parts)
    return int.from_bytes(hashlib.blake2b(canonical.encode(), digest_size=8).digest(), "big") >> 1


def request_seed(run_seed: int, problem_id: str, number: int) -> int:
    """Seed of the ``number``-th request of a problem."""
    return stable_hash("request", run_seed, problem_id, number)


def ask_rng(run_seed: int, problem_id: str, number: int) -> random.Random:
    """Generator for the ask that begins with request ``number``.

    A fresh one per ask rather than one that lives on, so that a resumed search makes the same choices without having
    to restore any generator's state.
    """
    return random.Random(stable_hash("ask", run_seed, problem_id, number))
