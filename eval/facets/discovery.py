"""Kinds of texts found without labels: average linkage on a reference, cut where kinds are far apart.

The number of kinds is that of the largest mean silhouette among cuts above ``separation``, the least mean distance at
which two groups of texts are two kinds and not one with variants. Below it the silhouette alone would split a single
format by whether there is a docstring; and where no silhouette shows structure there is one kind.

Guards against clusters that are prompts: the silhouette compares texts of different prompts only, so what resembles its
own prompt's texts alone earns nothing, and a group from fewer than three prompts is no kind.

Shape letters: N texts, V buckets, K kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

Array = NDArray[np.float64]
LEAST_PROMPTS = 3
LEAST_TEXTS = 3
LEAST_SHARE = 0.01
MOST_KINDS = 40
LEAST_SILHOUETTE = 0.25
"""Up to here there is no substantial structure (Kaufman and Rousseeuw, Finding Groups in Data, 1990)."""


@dataclass(frozen=True)
class Kinds:
    """What was found.

    Attributes:
        centroids: (K, V) of length 1, the largest kind first.
        members: K arrays of row numbers, those of the texts that linkage put there.
        silhouette: Mean over texts, in [-1, 1]; NaN for a single kind.
    """

    centroids: Array
    members: list[NDArray[np.int64]]
    silhouette: float


def find_kinds(vectors: csr_array, prompts: NDArray[np.int64], separation: float) -> Kinds:
    """Cluster texts; time and memory are quadratic in their number.

    Args:
        vectors: (N, V) rows of length 1, not negative.
        prompts: (N,) numbers of their prompts.
        separation: Least mean cosine distance between two kinds, in (0, 1).
    """
    groups, silhouette = _best_cut(_distances(vectors), prompts, separation)
    numbers = sorted(set(groups.tolist()) - {-1}, key=lambda number: (-int((groups == number).sum()), number))
    members = [np.flatnonzero(groups == number) for number in numbers]
    centroids = np.array([_centroid(vectors[each]) for each in members]).reshape(len(members), vectors.shape[1])
    return Kinds(centroids, members, silhouette)


def _centroid(vectors: csr_array) -> Array:
    """(V,) direction of the mean, to six digits: a saved centroid is the one that was used, in half the space."""
    mean = np.asarray(vectors.sum(axis=0))
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).round(6)


def _distances(vectors: csr_array) -> Array:
    """(N, N) cosine distances, exactly symmetric, zero on the diagonal."""
    similar = np.asarray((vectors @ vectors.T).toarray())
    distances = (1 - (similar + similar.T) / 2).clip(0, 1)
    np.fill_diagonal(distances, 0)
    return distances


def _best_cut(distances: Array, prompts: NDArray[np.int64], separation: float) -> tuple[NDArray[np.int64], float]:
    """(N,) group of each text, -1 for those that belong to none, and the silhouette."""
    count = len(prompts)
    best, best_silhouette = np.zeros(count, dtype=np.int64), LEAST_SILHOUETTE
    if count < 2:
        return best, float("nan")  # no text: no group either
    tree = linkage(squareform(distances, checks=False), "average")
    number_before, kept_before = 1, count
    for height in np.unique(tree[:, 2][tree[:, 2] >= separation])[::-1]:
        groups = _large_enough(fcluster(tree, float(np.nextafter(height, 0)), "distance"), prompts)
        number, kept = len(set(groups.tolist()) - {-1}), int((groups >= 0).sum())
        # A text or two that drop out of a group make no other partition, and there may be a thousand such cuts.
        if number == number_before and kept_before - kept < _least_texts(count):
            continue
        number_before, kept_before = number, kept
        if 2 <= number <= MOST_KINDS:
            silhouette = _silhouette(distances, groups, prompts)
            if silhouette > best_silhouette:
                best, best_silhouette = groups, silhouette
    return best, best_silhouette if best.any() else float("nan")


def _least_texts(count: int) -> int:
    return max(LEAST_TEXTS, int(np.ceil(LEAST_SHARE * count)))


def _large_enough(groups: NDArray[np.int64], prompts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups that are too few texts, or of too few prompts, become -1."""
    least_prompts = min(LEAST_PROMPTS, len(np.unique(prompts)))
    texts = np.bincount(groups)
    pairs = np.unique(groups * (prompts.max() + 1) + prompts) // (prompts.max() + 1)  # one a group and prompt
    is_large = (texts >= _least_texts(len(groups))) & (np.bincount(pairs, minlength=len(texts)) >= least_prompts)
    return np.where(is_large[groups], groups, -1).astype(np.int64)


def _silhouette(distances: Array, groups: NDArray[np.int64], prompts: NDArray[np.int64]) -> float:
    """Mean silhouette over pairs of texts of different prompts, or over all pairs where there is one prompt only."""
    inside = groups >= 0
    numbers, own = np.unique(groups[inside], return_inverse=True)
    others = prompts[inside][:, None] != prompts[inside][None, :]
    if not others.any():
        others = ~np.eye(int(inside.sum()), dtype=bool)
    is_of = (own[:, None] == np.arange(len(numbers))[None, :]).astype(float)
    pairs = others @ is_of  # (N, K)
    sums = np.where(others, distances[np.ix_(inside, inside)], 0) @ is_of
    means = np.where(pairs > 0, sums / np.maximum(pairs, 1), np.inf)
    rows = np.arange(len(own))
    within = means[rows, own].copy()
    means[rows, own] = np.inf
    nearest = means.min(axis=1)
    known = np.isfinite(within) & np.isfinite(nearest)
    larger = np.maximum(within[known], nearest[known])
    values = np.divide(nearest[known] - within[known], larger, out=np.zeros_like(larger), where=larger > 0)
    return float(values.sum() / len(own))  # a text without company from other prompts counts for 0
