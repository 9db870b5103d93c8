"""Seeds on their way to an engine: narrowed to the bits that it takes, and one for each of several choices.

A request's seed has 63 bits (``search.seeds``). vLLM takes them all; other servers take 32, and a proxy that reads
numbers as floats keeps 53. vLLM gives child i of a request for n completions the seed ``seed + i``, so requests with
neighbouring seeds share children: we ask for one completion a request, and give choices hashed seeds.
"""

from __future__ import annotations

from search.seeds import stable_hash


class SeedNarrower:
    """Hashes request seeds to fewer bits, such that different ones stay different.

    A hash alone would not do: of 10^5 requests some two share a 31-bit seed with a probability of 0.9. So a seed that
    was given to another request is hashed again. Which of two requests keeps the first hash depends on which came
    first; below 63 bits a repeated run may therefore draw another completion in a few of 10^5 cases, if requests
    overtake each other or the run was resumed in between.

    Args:
        bits: Bits of the seeds that are given out; with 63 they pass as they are.

    Raises:
        ValueError: ``bits`` lies outside [16, 63].
    """

    def __init__(self, bits: int = 63) -> None:
        if not 16 <= bits <= 63:
            raise ValueError(f"seed_bits is {bits}, expected 16 to 63: use 63 for vLLM, 53 or 31 for other servers.")
        self._bits = bits
        self._owners: dict[int, int] = {}  # narrow seed -> the seed that has it

    def __call__(self, seed: int) -> int:
        """The seed to send for a request's seed.

        Raises:
            ValueError: Half of all seeds are given out, so there will soon be none.
        """
        if self._bits == 63:
            return seed
        if len(self._owners) >= 1 << (self._bits - 1):
            raise ValueError(
                f"{len(self._owners)} requests were made with seeds of {self._bits} bits, expected fewer than half of "
                "what there are: raise seed_bits."
            )
        attempt = 0
        while True:
            narrow = stable_hash("narrow", seed, attempt) >> (63 - self._bits)
            if self._owners.setdefault(narrow, seed) == seed:
                return narrow
            attempt += 1


def choice_seed(seed: int, index: int) -> int:
    """Seed of the ``index``-th of several choices; the first has the request's own.

    Args:
        seed: The request's.
        index: From 0.
    """
    return seed if index == 0 else stable_hash("choice", seed, index)
