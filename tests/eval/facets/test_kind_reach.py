"""How far a kind reaches: by its own texts, by those of all kinds where it is rare, and in each view alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from benchmarks.format_corpus.corpus import invented_corpus
from eval.facets import ClusterFacet
from eval.facets.reach import NEARLY_ALL, reaches


def distances_to_others(vectors, prompts):
    """Of each text to the centroid of the texts of other prompts, one by one."""
    found = []
    for vector, prompt in zip(vectors, prompts, strict=True):
        centroid = vectors[prompts != prompt].sum(axis=0)
        found.append(1 - vector @ centroid / np.linalg.norm(centroid))
    return np.array(found)


@pytest.mark.parametrize("seed", range(3))
def test_a_reach_lies_half_way_from_a_kinds_edge_to_the_next_and_a_rare_kinds_edge_is_that_of_all(seed):
    rng = np.random.default_rng(seed)
    wide = rng.random((60, 12))
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    rare = np.tile(np.eye(12)[0], (3, 1))  # three equal texts: nothing says how far the kind goes
    vectors, prompts = np.concatenate([wide, rare]), np.concatenate([np.arange(60) // 3, np.arange(3)])
    members = [np.arange(60), np.arange(60, 63)]
    own = [distances_to_others(vectors[each], prompts[each]) for each in members]
    edges = [np.quantile(own[0], NEARLY_ALL), np.quantile(np.concatenate(own), NEARLY_ALL)]
    assert own[1].max() < 1e-12 < edges[1] <= edges[0]
    found = reaches(csr_array(vectors), prompts, members, 0.8)
    assert found == pytest.approx([(edge + 0.8) / 2 for edge in edges], abs=2e-6)


@pytest.mark.parametrize("view", [0, 1])
def test_a_text_beyond_the_reach_of_one_view_is_novel_however_near_in_both(view):
    corpus = invented_corpus({"latex": 1.0, "json_object": 1.0}, seed=0, num_prompts=10)
    facet = ClusterFacet()
    facet.fit(corpus.samples())
    state = facet.state()
    assert "novel" not in facet.labels(corpus.samples())
    for kind in state["kinds"]:
        kind["reach"], kind["view_reaches"] = 1.0, [1.0, 1.0]
        kind["view_reaches"][view] = 0.0
    facet.restore(state)
    assert set(facet.labels(corpus.samples())) == {"novel"}
