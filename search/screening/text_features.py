"""Similarities of answers as texts: what stands where, which words and letters occur, which numbers.

Three views of a text, each with a similarity that is 1 for equal texts. Which of them tells rewards apart is left to
the data, see `search.screening.text_predictor`. Hashes do not depend on the process. Letters: N and M texts.
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
_FAR = 100.0  # squared distance, in deviations, of texts with another count of numbers
_MOST_DEVIATIONS = 10.0  # one absurd number must not drown all others


@dataclass(frozen=True)
class TextFeatures:
    """What is kept of a text.

    Attributes:
        places: Hashes of its first 128 tokens in order, of its letters if it is a single token.
        grams: (1024,) hashed counts of tokens, pairs of tokens and letter n-grams, logarithmic, of length 1.
        numbers: Numbers in the text, the first 512.
    """

    places: list[int]
    grams: Array
    numbers: Array


@dataclass(frozen=True)
class Texts:
    """Features of N texts, as arrays.

    Attributes:
        places: (longest, N) hashes by place; 0 behind a text's end.
        lengths: (N,) places of each.
        grams: (N, 1024).
        numbers: Of each.
    """

    places: NDArray[np.int64]
    lengths: NDArray[np.intp]
    grams: Array
    numbers: list[Array]

    @classmethod
    def of(cls, features: Sequence[TextFeatures]) -> Texts:
        """Stack the features of several texts."""
        lengths = np.array([len(each.places) for each in features])
        places = np.zeros((int(lengths.max(initial=0)), len(features)), dtype=np.int64)
        for column, each in enumerate(features):
            places[: len(each.places), column] = each.places
        return cls(places, lengths, np.stack([each.grams for each in features]), [each.numbers for each in features])


def text_features(answer: str) -> TextFeatures:
    """Read a text."""
    text = answer[:_MOST_TEXT]
    tokens = _TOKEN.findall(text)
    listed = (tokens if len(tokens) > 1 else list(text))[:_PLACES]
    counts: Counter[str] = Counter(tokens)
    counts.update(f"{a} {b}" for a, b in itertools.pairwise(tokens))
    for num in _GRAMS:
        counts.update(text[i : i + num] for i in range(len(text) - num + 1))
    grams = np.zeros(_BINS)
    for gram, count in counts.items():
        grams[_hash(gram) % _BINS] += np.log1p(count)
    numbers = np.array([float(each) for each in _NUMBER.findall(text)[:_MOST_NUMBERS]])
    norm = max(float(np.linalg.norm(grams)), 1e-12)
    return TextFeatures([_hash(token) + 1 for token in listed], grams / norm, numbers)


def place_similarity(a: Texts, b: Texts) -> Array:
    """(N, M) share of places with the same token, of the places of the longer text."""
    same = np.zeros((len(a.lengths), len(b.lengths)), dtype=np.uint8)
    ends = np.where(b.places == 0, -1, b.places)  # a place behind both ends is no common place
    for left, right in zip(a.places, ends, strict=False):  # one at a time: (N, M, 128) at once is much memory
        same += left[:, None] == right
    return np.asarray(same / np.maximum(np.maximum.outer(a.lengths, b.lengths), 1))


def gram_similarity(a: Texts, b: Texts) -> Array:
    """(N, M) cosine of the hashed counts."""
    similar: Array = a.grams @ b.grams.T
    return similar


def usual_numbers(texts: Texts) -> tuple[Array, Array]:
    """Mean and deviation of each number, if four in five texts have the same count of them; else nothing."""
    counts = [len(each) for each in texts.numbers]
    usual = max(set(counts), key=lambda count: (counts.count(count), count))
    if usual == 0 or counts.count(usual) < 0.8 * len(counts):
        return np.zeros(0), np.ones(0)
    table = np.stack([each for each in texts.numbers if len(each) == usual])
    deviation = table.std(axis=0)
    return table.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def number_distance(a: Texts, b: Texts, centre: Array, scale: Array) -> Array:
    """(N, M) mean squared difference of standardised numbers; texts of another count of numbers are far from all."""
    num = len(centre)
    left, right = _standard(a, centre, scale), _standard(b, centre, scale)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    distance = np.maximum(squares, 0) / num
    odd = [np.array([len(each) != num for each in texts.numbers]) for texts in (a, b)]
    return np.where(odd[0][:, None] | odd[1], _FAR, distance)


def _standard(texts: Texts, centre: Array, scale: Array) -> Array:
    rows = [each if len(each) == len(centre) else centre for each in texts.numbers]
    return np.asarray(np.clip((np.stack(rows) - centre) / scale, -_MOST_DEVIATIONS, _MOST_DEVIATIONS))


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
