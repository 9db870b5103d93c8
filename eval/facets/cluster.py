"""Kinds of texts that nobody had to name beforehand: clusters of the reference, frozen; what fits none is ``novel``.

A taxonomy knows the formats that its author thought of. This one knows those that the base model has, so that a
collapse within ``prose`` or onto something never seen is seen as well; an alarm under both is worth most. Categories
are found once, on the reference, and cannot drift: later texts go to the nearest centroid, or to ``novel``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.facets.agreement import adjusted_information
from eval.facets.discovery import find_kinds
from eval.facets.naming import kind_names
from eval.facets.reach import reaches
from eval.facets.remembered import Remembered
from eval.facets.vectors import DIMENSIONS, counts, document_counts, document_weights, one_view, view_shares, weighted
from eval.formats import WITHOUT_FORMAT, format_is_missing
from eval.samples import Samples, require_samples

NOVEL = "novel"
SEPARATION = 0.7
"""Mean cosine distance from which two groups of texts are two kinds. Formats in the corpora of
``benchmarks/format_discovery.py`` are .81 to .97 apart, functions with and without a docstring .47."""
MOST_POINTS = 1500
"""Texts of the reference that are clustered."""
_UNLIKE = 1.0  # in one view alone another kind begins where nothing is shared
_BATCH = 512


@dataclass(frozen=True)
class Kind:
    """A cluster of the reference.

    Attributes:
        name: Its label.
        marks: Line types, or neighbours among them, that most of its texts show and others do not; clearest first.
        share: Share of the reference's texts that had a format.
        example_index: Which sample of the reference is the most typical, its medoid.
        example: That sample's text.
        reach: Distance to the centroid beyond which a text is of another kind.
        view_reaches: The same for the skeleton and the masked characters alone.
    """

    name: str
    marks: list[str]
    share: float
    example_index: int
    example: str
    reach: float
    view_reaches: list[float]


class ClusterFacet:
    """Clusters of structure, see the module; ``empty``, ``degenerate`` and ``truncated`` are told apart before.

    Args:
        separation: Least mean distance between two kinds; lower ones split formats into their variants.
        seed: Draws the reference's texts that are clustered, where they are too many.

    Attributes:
        kinds: What was found, the largest first; empty before :meth:`fit`.
        silhouette: How clear the kinds are, in [-1, 1]; None for one kind.
        prompt_information: Adjusted mutual information between kinds and prompts on the reference. Near 0 is good: the
            kinds are formats. Far above it either formats go with prompts, or clusters are prompts in disguise.
    """

    name = "cluster"
    description = "Kinds of structure found on the reference without labels; what fits none is novel"

    def __init__(self, separation: float = SEPARATION, seed: int = 0) -> None:
        if not 0 < separation < 1:
            raise ValueError(
                f"separation is {separation}: expected a cosine distance between 0 and 1. Use {SEPARATION}, or less to "
                "tell variants of one format apart."
            )
        self.separation = separation
        self.seed = seed
        self.kinds: list[Kind] = []
        self.silhouette: float | None = None
        self.prompt_information: float | None = None
        self._documents: tuple[int, NDArray[np.int64]] | None = None
        self._weights = np.ones(DIMENSIONS)
        self._shares = (0.5, 0.5)
        self._centroids = np.zeros((0, DIMENSIONS))
        self._nearest = Remembered(self._nearest_kinds)

    def fit(self, reference: Samples) -> None:
        """Find kinds among the reference's texts that have a format, and freeze them.

        Raises:
            ValueError: There are no samples.
        """
        require_samples(reference)
        with_format = [row for row, missing in enumerate(_missing(reference)) if missing is None]
        rows = with_format
        if len(rows) > MOST_POINTS:
            drawn = np.random.default_rng(self.seed).choice(len(rows), MOST_POINTS, replace=False)
            rows = [rows[place] for place in np.sort(drawn)]
        texts = [reference.texts[row] for row in rows]
        _, prompts = np.unique(np.array([reference.prompt_ids[row] for row in rows], dtype=str), return_inverse=True)
        found_counts = counts(texts)
        self._documents = (len(texts), document_counts(found_counts))
        self._weights = document_weights(*self._documents)
        self._shares = view_shares(found_counts, self._weights)
        vectors = weighted(found_counts, self._weights, self._shares)
        found = find_kinds(vectors, prompts, self.separation)
        self._centroids = found.centroids
        self.silhouette = None if np.isnan(found.silhouette) else found.silhouette
        near = vectors @ found.centroids.T  # (N, K)
        medoids = [int(each[np.argmax(near[each, number])]) for number, each in enumerate(found.members)]
        names = kind_names([[texts[row] for row in each] for each in found.members], [*WITHOUT_FORMAT, NOVEL])
        together = reaches(vectors, prompts, found.members, self.separation)
        views = [reaches(one_view(vectors, view), prompts, found.members, _UNLIKE) for view in range(2)]
        self.kinds = [
            Kind(name, marks, 0.0, rows[medoid], texts[medoid], reach, list(each))
            for (name, marks), medoid, reach, *each in zip(names, medoids, together, *views, strict=True)
        ]
        self._nearest.forget()
        labels = self._nearest([reference.texts[row] for row in with_format])
        shares = {kind.name: labels.count(kind.name) / max(len(labels), 1) for kind in self.kinds}
        self.kinds = [Kind(**{**asdict(kind), "share": shares[kind.name]}) for kind in self.kinds]
        self.prompt_information = (
            adjusted_information(labels, [reference.prompt_ids[row] for row in with_format]) if labels else None
        )

    def labels(self, samples: Samples) -> list[str]:
        """N names of kinds, ``novel``, or one of the classes of texts without a format.

        Raises:
            RuntimeError: Nothing was fitted yet.
        """
        if self._documents is None:
            raise RuntimeError(
                "the facet 'cluster' was not fitted: expected kinds from a reference. Call fit(base samples), or "
                "restore(state) of a facet that was."
            )
        missing = _missing(samples)
        with_format = iter(
            self._nearest([text for text, each in zip(samples.texts, missing, strict=True) if each is None])
        )
        return [each if each is not None else next(with_format) for each in missing]

    def state(self) -> dict[str, Any]:
        """Kinds, centroids and document counts, a few hundred kilobytes; {} before :meth:`fit`."""
        if self._documents is None:
            return {}
        number, documents = self._documents
        return {
            "separation": self.separation,
            "seed": self.seed,
            "silhouette": self.silhouette,
            "prompt_information": self.prompt_information,
            "kinds": [asdict(kind) for kind in self.kinds],
            "views": list(self._shares),
            "documents": {"number": number, **_sparse(documents)},
            "centroids": [_sparse(centroid) for centroid in self._centroids],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up saved kinds."""
        self._nearest.forget()
        if not state:
            self.kinds, self._documents = [], None
            self.silhouette = self.prompt_information = None
            return
        self.separation, self.seed = state["separation"], state["seed"]
        self.silhouette, self.prompt_information = state["silhouette"], state["prompt_information"]
        self.kinds = [Kind(**kind) for kind in state["kinds"]]
        self._documents = (state["documents"]["number"], _dense(state["documents"]).astype(np.int64))
        self._weights = document_weights(*self._documents)
        self._shares = (state["views"][0], state["views"][1])
        self._centroids = np.array([_dense(each) for each in state["centroids"]]).reshape(-1, DIMENSIONS)

    def _nearest_kinds(self, texts: list[str]) -> list[str]:
        if not self.kinds:
            return [NOVEL] * len(texts)
        names = [kind.name for kind in self.kinds]
        limits = np.array([[kind.reach, *kind.view_reaches] for kind in self.kinds])  # (K, 3)
        centroids = [self._centroids, *(one_view(csr_array(self._centroids), view).toarray() for view in range(2))]
        found: list[str] = []
        for start in range(0, len(texts), _BATCH):
            vectors = weighted(counts(texts[start : start + _BATCH]), self._weights, self._shares)
            seen = [vectors, one_view(vectors, 0), one_view(vectors, 1)]
            distances = np.stack([1 - each @ centre.T for each, centre in zip(seen, centroids, strict=True)], axis=-1)
            nearest = distances[..., 0].argmin(axis=1)
            is_near = (distances[np.arange(len(nearest)), nearest] <= limits[nearest]).all(axis=1)
            found += [names[kind] if near else NOVEL for kind, near in zip(nearest, is_near, strict=True)]
        return found


def _missing(samples: Samples) -> list[str | None]:
    """Which class of texts without a format each sample is in; None for all others."""
    reasons: Sequence[str | None] = samples.finish_reasons or [None] * len(samples)
    return [format_is_missing(text, reason or "stop") for text, reason in zip(samples.texts, reasons, strict=True)]


def _sparse(vector: NDArray[Any]) -> dict[str, list[Any]]:
    places = np.flatnonzero(vector)
    return {"places": places.tolist(), "values": vector[places].tolist()}


def _dense(stored: Mapping[str, Any]) -> NDArray[np.float64]:
    vector = np.zeros(DIMENSIONS)
    vector[stored["places"]] = stored["values"]
    return vector
