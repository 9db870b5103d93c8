"""Similarities of answers as texts: what stands where, which words and letters occur, which numbers.

Three views of a text, each with a similarity that is 1 for equal texts. Which of them tells rewards apart is left to
the data, see `search.screening.text_predictor`. Hashes do not depend on the process.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_PLACES = 128  # tokens that are looked at by their place
_BINS = 1024
_GRAMS = (3, 4)  # letters
_MOST_TEXT = 20_000  # letters of an answer that are read
_MOST_NUMBERS = 512


@dataclass(frozen=True)
class TextFeatures:
    """What is kept of a text.

    Attributes:
        places: (128,) hashes of its tokens in order, of its letters if it is a single token; 0 behind the end.
        num_places: How many there are.
        grams: (1024,) hashed counts of tokens, pairs of tokens and letter n-grams, logarithmic, of length 1.
        numbers: Numbers in the text, the first 512.
    """

    places: NDArray[np.int64]
    num_places: int
    grams: Array
    numbers: Array


def text_features(answer: str) -> TextFeatures:
    """Read a text."""
    text = answer[:_MOST_TEXT]
    tokens = _TOKEN.findall(text)
    listed = (tokens if len(tokens) > 1 else list(text))[:_PLACES]
    places = np.zeros(_PLACES, dtype=np.int64)
    places[: len(listed)] = [_hash(token) + 1 for token in listed]
    counts: Counter[str] = Counter(tokens)
    counts.update(f"{a} {b}" for a, b in itertools.pairwise(tokens))
    for num in _GRAMS:
        counts.update(text[i : i + num] for i in range(len(text) - num + 1))
    grams = np.zeros(_BINS)
    for gram, count in counts.items():
        grams[_hash(gram) % _BINS] += np.log1p(count)
    numbers = np.array([float(each) for each in _NUMBER.findall(text)[:_MOST_NUMBERS]])
    return TextFeatures(places, len(listed), grams / max(float(np.linalg.norm(grams)), 1e-12), numbers)


def place_similarity(a: Sequence[TextFeatures], b: Sequence[TextFeatures]) -> Array:
    """(N, M) share of places with the same token, of the places of the longer text."""
    left, right = np.stack([each.places for each in a]), np.stack([each.places for each in b])
    same = np.zeros((len(a), len(b)))
    for place in range(_PLACES):  # one place at a time: (N, M, 128) at once is much memory
        column = left[:, place]
        if not column.any():
            continue
        same += (column[:, None] == right[:, place]) & (column[:, None] != 0)
    lengths = np.maximum.outer([each.num_places for each in a], [each.num_places for each in b])
    return np.asarray(same / np.maximum(lengths, 1))


def gram_similarity(a: Sequence[TextFeatures], b: Sequence[TextFeatures]) -> Array:
    """(N, M) cosine of the hashed counts."""
    similar: Array = np.stack([each.grams for each in a]) @ np.stack([each.grams for each in b]).T
    return similar


def number_distance(a: Sequence[TextFeatures], b: Sequence[TextFeatures], centre: Array, scale: Array) -> Array:
    """(N, M) mean squared difference of standardised numbers; texts of another count of numbers are far from all."""
    num = len(centre)
    left, right = (np.stack([_standard(each.numbers, centre, scale) for each in side]) for side in (a, b))
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    distance = np.maximum(squares, 0) / num
    odd = np.array([len(each.numbers) != num for each in a])[:, None] | np.array([len(e.numbers) != num for e in b])
    return np.where(odd, 100.0, distance)


def _standard(numbers: Array, centre: Array, scale: Array) -> Array:
    if len(numbers) != len(centre):
        return np.zeros(len(centre))
    # No number is more than ten deviations away: one absurd answer must not drown all others
    return np.clip((numbers - centre) / scale, -10, 10)


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
