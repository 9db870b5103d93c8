"""Entries of a generator: which belong to which split, and how they travel in a dataset row.

An entry is what reasoning-gym calls so: question, answer, and the metadata that its scorer reads. Two seeds that lie
close give almost the same entries there (item i of seed s is drawn by s + i), so seeds are spread by a hash, those of
the two splits over ranges that do not meet; and a question belongs to the test split if its own hash says so, a fifth
of all, whatever the seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from vpo.tasks.reasoning_gym.generators import child_environment, make_generator, own_randomness

_CHUNK = 64  # items of one generator: a few lay out all of their items when they are made
_PATIENCE = 1000  # items in a row without a new question of the split
_SEEDS = 2**30  # of each split
# Generators that walk over sets of text: their items depend on the hash seed of the process.
HASHED = frozenset({"composite", "isomorphic_strings", "polynomial_multiplication", "ransom_note", "word_ladder"})


def entries(name: str, config: Mapping[str, Any], split: str, size: int, seed: int) -> list[dict[str, Any]]:
    """``size`` entries with different questions; the same for the same arguments, in any process.

    Args:
        name: Of the generator.
        config: Its options.
        split: "train" or "test".
        size: How many.
        seed: Which.

    Raises:
        ValueError: The generator cannot be made, fails at an item, or has not so many different questions.
    """
    if name in HASHED and os.environ.get("PYTHONHASHSEED") != "0":
        return _in_child(name, config, split, size, seed)
    return list(islice(stream(name, config, split, seed), size))


def stream(name: str, config: Mapping[str, Any], split: str, seed: int) -> Iterator[dict[str, Any]]:
    """Entries of a split without end, each question once.

    Raises:
        ValueError: An item cannot be made, or no new question came for a thousand items.
    """
    seen: set[str] = set()
    chunk = failures = 0
    while True:
        base = spread_seed(name, split, seed, chunk)
        generator = make_generator(name, config, base, _CHUNK)
        for index in range(_CHUNK):
            try:
                with own_randomness(f"{name}-{base}-{index}"):
                    entry = generator[index]
            except Exception as error:
                raise ValueError(
                    f"reasoning-gym's {name} cannot make an item with config {dict(config)} ({type(error).__name__}: "
                    f"{error}): expected options that leave room for one. Change them."
                ) from error
            if entry["question"] in seen or in_test(entry["question"]) != (split == "test"):
                failures += 1
                if failures >= _PATIENCE:
                    raise ValueError(
                        f"reasoning-gym's {name} gave {len(seen)} different questions of the split {split!r} and then "
                        f"none for {_PATIENCE} items: expected as many as there are rows. Ask for fewer rows, or for "
                        "larger problems by its options."
                    )
                continue
            failures = 0
            seen.add(entry["question"])
            yield entry
        chunk += 1


def spread_seed(name: str, split: str, seed: int, chunk: int) -> int:
    """Seed of a chunk: below 2^30 for training, above for tests, far from its neighbours."""
    key = hashlib.blake2b(f"{name}-{split}-{seed}-{chunk}".encode(), digest_size=8).digest()
    return int.from_bytes(key, "big") % (_SEEDS - _CHUNK) + (_SEEDS if split == "test" else 0)


def in_test(question: str) -> bool:
    """Whether a question belongs to the test split."""
    key = hashlib.blake2b(question.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(key, "big") % 5 == 0


def pack(value: Any) -> str:
    """JSON from which `unpack` makes an equal value, tuples and keys that are no text included.

    Raises:
        ValueError: There is something in it that cannot be written.
    """
    return json.dumps(_packed(value), separators=(",", ":"))


def unpack(text: str) -> Any:
    """Inverse of `pack`."""
    return _unpacked(json.loads(text))


def _packed(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str):  # numpy's texts too
        return str(value)
    if isinstance(value, list):
        return [_packed(each) for each in value]
    if isinstance(value, (tuple, set, frozenset)):
        kind = "tuple" if isinstance(value, tuple) else "set"
        return {"": kind, "values": [_packed(each) for each in value]}
    if isinstance(value, Mapping):
        if "" in value or not all(isinstance(key, str) for key in value):
            return {"": "dict", "values": [[_packed(key), _packed(each)] for key, each in value.items()]}
        return {key: _packed(each) for key, each in value.items()}
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _packed(value.tolist())
    raise ValueError(f"an entry holds {type(value).__name__}: expected numbers, texts and collections of them.")


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("")
    if kind == "dict":
        return {_unpacked(key): _unpacked(each) for key, each in value["values"]}
    if kind in ("tuple", "set"):
        return (tuple if kind == "tuple" else set)(_unpacked(each) for each in value["values"])
    return {key: _unpacked(each) for key, each in value.items()}


def _in_child(name: str, config: Mapping[str, Any], split: str, size: int, seed: int) -> list[dict[str, Any]]:
    """Entries made where the hash of a text is the same in every run."""
    make_generator(name, config, 0, 1)  # what is wrong with the options is said here
    program = f"from {__name__} import _main; _main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([name, dict(config), split, size, seed]),
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(done.stderr.strip().rpartition("ValueError: ")[2] or f"making entries of {name} failed.")
    return [unpack(line) for line in done.stdout.splitlines()]


def _main() -> None:
    name, config, split, size, seed = json.load(sys.stdin)
    for entry in islice(stream(name, config, split, seed), size):
        print(pack(entry), flush=True)
