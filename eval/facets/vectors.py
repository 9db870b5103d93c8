"""Texts as vectors: n-grams of two views without content, hashed, weighted by tf-idf, each view of length one.

The views are the skeleton (1- to 3-grams of line types) and the masked text (3- to 5-grams of characters); the inner
product of two texts is a weighted mean of their cosines in the two. The first sees layout whatever is on the lines, the
second sees texts that have one line only. A view counts by how much the reference varies in it: where all texts are one
line of words, the skeleton has nothing to say. Hashes are our own arithmetic, the same in every process.

Departures from scikit-learn's hashing vectorizer: no signs (the sums here are of non-negative terms, collisions among
16,384 buckets are rare) and sublinear counts, for a long text must not be a different format.

Shape letters: N texts, V buckets of both views together.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from eval.facets.masking import masked
from eval.facets.skeleton import skeleton

BITS = 13
"""Each view has 2**BITS buckets."""
DIMENSIONS = 2 << BITS
"""V."""

_PRIME = np.uint64(0x100000001B3)
_ODD = np.uint64(0x9E3779B97F4A7C15)  # golden ratio: neighbouring sums fall into buckets far apart
_SHIFT = np.uint64(64 - BITS)
_SKELETON_ORDERS, _MASKED_ORDERS = (1, 2, 3), (3, 4, 5)
_LEAST_SHARE = 0.1  # a view without any variety at the reference may have some later
_START, _END = "\x02", "\x03"


def counts(texts: Sequence[str]) -> csr_array:
    """(N, V) numbers of n-grams in each bucket: the skeleton's buckets first, then those of masked characters."""
    skeletons = [np.array([_code(kind) for kind in (_START, *skeleton(text), _END)], dtype=np.uint64) for text in texts]
    characters = [_characters(_START + masked(text) + _END) for text in texts]
    return csr_array(hstack([_hashed(skeletons, _SKELETON_ORDERS), _hashed(characters, _MASKED_ORDERS)], format="csr"))


def document_counts(found: csr_array) -> NDArray[np.int64]:
    """(V,) texts that have something in each bucket."""
    return np.bincount(found.indices, minlength=DIMENSIONS)


def document_weights(number: int, documents: NDArray[np.int64]) -> NDArray[np.float64]:
    """(V,) smoothed inverse document frequencies, at least 1: what all texts share still makes them alike.

    Args:
        number: Texts of the reference.
        documents: (V,) from :func:`document_counts`.
    """
    return np.asarray(np.log((1 + number) / (1 + documents)) + 1)


def view_shares(found: csr_array, weights: NDArray[np.float64]) -> tuple[float, float]:
    """Parts that the two views have in an inner product: in proportion to the mean distance of two texts in each."""
    if found.shape[0] == 0:
        return 0.5, 0.5
    means = np.asarray(weighted(found, weights, (0.5, 0.5)).mean(axis=0)).reshape(2, -1)
    spreads = (1 - 2 * (means**2).sum(axis=1)).clip(1e-9, 1)
    skeletons = round(float((spreads / spreads.sum())[0].clip(_LEAST_SHARE, 1 - _LEAST_SHARE)), 6)
    return skeletons, 1 - skeletons


def weighted(found: csr_array, weights: NDArray[np.float64], shares: tuple[float, float]) -> csr_array:
    """(N, V) rows of length 1.

    Args:
        found: (N, V) counts.
        weights: (V,) from :func:`document_weights`.
        shares: Of the square of that length, for each view.
    """
    values = (1 + np.log(found.data)) * weights[found.indices]
    rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
    views = found.indices >> BITS
    sides = 2 * rows + views  # a view of a text: its entries are scaled together
    squares = np.bincount(sides, values**2, minlength=2 * found.shape[0])
    values = values * np.sqrt(np.array(shares)[views] / squares[sides])
    return csr_array((values, found.indices, found.indptr), shape=found.shape)


def one_view(vectors: csr_array, view: int) -> csr_array:
    """(N, V / 2) rows of length 1: skeletons (0) or masked characters (1) of weighted vectors or centroids."""
    half = 1 << BITS
    found = csr_array(vectors[:, view * half : (view + 1) * half])
    lengths = np.sqrt(np.asarray((found * found).sum(axis=1)))
    found.data = found.data / np.repeat(np.maximum(lengths, 1e-12), np.diff(found.indptr))
    return found


def skeleton_grams(text: str) -> set[str]:
    """The text's skeleton n-grams in words, such as ``start / heading / bullet``, to name clusters by."""
    kinds = ["start", *skeleton(text), "end"]
    return {
        " / ".join(kinds[start : start + order])
        for order in _SKELETON_ORDERS
        for start in range(len(kinds) - order + 1)
    }


def _code(kind: str) -> int:
    return crc32(kind.encode("utf-8", "surrogatepass")) + 1  # 0 stands between texts


def _characters(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)


def _hashed(sequences: Sequence[NDArray[np.uint64]], orders: tuple[int, ...]) -> csr_array:
    """(N, 2**BITS) counts of the n-grams of each sequence, all sequences in one pass."""
    count = len(sequences)
    lengths = np.array([len(each) for each in sequences], dtype=np.int64)
    codes = np.concatenate([*sequences, np.zeros(0, np.uint64)])
    rows = np.repeat(np.arange(count), lengths)
    keys = []
    with np.errstate(over="ignore"):
        for order in orders:
            if len(codes) < order:
                continue
            last = len(codes) - order + 1
            sums = np.full(last, order, dtype=np.uint64)
            for offset in range(order):
                sums = sums * _PRIME + codes[offset : offset + last]
            inside = rows[:last] == rows[order - 1 :]  # else it reaches into the next text
            buckets = ((sums * _ODD) >> _SHIFT).astype(np.int64)
            keys.append(((rows[:last] << BITS) + buckets)[inside])
    found, numbers = np.unique(np.concatenate([*keys, np.zeros(0, np.int64)]), return_counts=True)
    starts = np.searchsorted(found, np.arange(count + 1) << BITS)
    return csr_array((numbers.astype(np.float64), found & ((1 << BITS) - 1), starts), shape=(count, 1 << BITS))
