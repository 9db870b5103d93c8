"""Are formats found without labels, and are they formats and not prompts? And how many texts a second are read?

60 prompts with 8 samples each, seven formats, an invented vocabulary for each prompt (`benchmarks/format_corpus`): what
tells formats apart is layout alone, and words tell prompts alone. The adjusted Rand index (ARI) of the clusters with
the true format should be 1 and with the prompt 0. Four kinds of vectors are cut into seven clusters each; raw texts are
the baseline. `cluster` is the facet as it ships, which finds the number of clusters itself, on harder corpora too: one
format at 3%, a single format, three formats of word problems, all layout lost. "Novel" counts texts of three formats
that the reference did not have, and new texts of those that it had.

Throughput is of the process's own time, one thread, on texts that were not seen before.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})  # a core's figures

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import numpy as np
from format_corpus.corpus import WRITERS, Corpus, invented_corpus, word_problem_corpus
from format_corpus.formats import LATER, SEVEN
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform
from targets import Target, finish, parser

from eval.facets import ClusterFacet, FormatFacet, agreement
from eval.facets.masking import masked
from eval.facets.skeleton import skeleton
from eval.formats import RuleTaxonomy

EVEN = dict.fromkeys(SEVEN, 1.0)
RARE = {**dict.fromkeys(list(SEVEN)[:3], 0.97 / 3), "calculator": 0.03}
ONE_LINE = "ten formats, all layout lost"
ALIKE = "word problems, all begin alike"


def grams(units: list[str] | str, orders: range) -> Iterator[str]:
    for order in orders:
        for start in range(len(units) - order + 1):
            yield "\x00".join(units[start : start + order])


VIEWS: dict[str, Callable[[str], Iterator[str]]] = {
    "raw characters": lambda text: grams(text, range(3, 6)),
    "raw words": lambda text: grams(re.findall(r"\w+|[^\w\s]", text), range(1, 3)),
    "masked characters": lambda text: grams("^" + masked(text) + "$", range(3, 6)),
    "skeleton": lambda text: grams(["^", *skeleton(text), "$"], range(1, 4)),
}


def similarities(texts: list[str], view: Callable[[str], Iterator[str]]) -> np.ndarray:
    """(N, N) cosines of tf-idf vectors, without hashing: as the textbook has it."""
    places: dict[str, int] = {}
    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        for gram, count in Counter(view(text)).items():
            rows.append(row)
            columns.append(places.setdefault(gram, len(places)))
            values.append(1 + np.log(count))
    found = csr_array((values, (rows, columns)), shape=(len(texts), len(places)))
    weights = np.log((1 + len(texts)) / (1 + np.bincount(columns))) + 1
    weighted = csr_array(found * weights[None, :])
    lengths = np.sqrt(np.asarray((weighted * weighted).sum(axis=1)))
    return (weighted @ weighted.T).toarray() / np.outer(lengths, lengths)


def seven_clusters(similar: np.ndarray) -> list[int]:
    distances = (1 - (similar + similar.T) / 2).clip(0, 1)
    np.fill_diagonal(distances, 0)
    return fcluster(linkage(squareform(distances, checks=False), "average"), 7, "maxclust").tolist()


def in_one_line(corpus: Corpus) -> Corpus:
    return replace(corpus, texts=[" ".join(text.split()) for text in corpus.texts])


def beginning_alike(corpus: Corpus) -> Corpus:
    return replace(corpus, texts=["so the solution : " + text for text in corpus.texts])


CORPORA: dict[str, Callable[[int], Corpus]] = {
    "seven formats": lambda seed: invented_corpus(EVEN, seed),
    "one of four at 3%": lambda seed: invented_corpus(RARE, seed),
    "word problems, one line": lambda seed: word_problem_corpus("words", seed),
    "word problems, chat": lambda seed: word_problem_corpus("chat", seed),
    ONE_LINE: lambda seed: in_one_line(invented_corpus(dict.fromkeys(WRITERS, 1.0), seed)),
    ALIKE: lambda seed: beginning_alike(word_problem_corpus("words", seed)),
}


def summary(values: list[float]) -> dict[str, Any]:
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": mean(values), "standard error": error, "by seed": values}


def shown(row: dict[str, Any]) -> str:
    error = row["standard error"]
    return f"{row['mean']:.3f}" + (f" ({error:.3f})" if error is not None else "")


def measure_views(seeds: range) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        corpus = invented_corpus(EVEN, seed)
        similar = {name: similarities(corpus.texts, view) for name, view in VIEWS.items()}
        similar["masked and skeleton"] = (similar["masked characters"] + similar["skeleton"]) / 2
        for name, each in similar.items():
            labels = seven_clusters(each)
            row = found.setdefault(name, {"format": [], "prompt": []})
            row["format"].append(agreement(labels, corpus.formats))
            row["prompt"].append(agreement(labels, corpus.prompt_ids))
    return {name: {key: summary(values) for key, values in row.items()} for name, row in found.items()}


def measure_facet(make: Callable[[int], Corpus], seeds: range) -> dict[str, Any]:
    found: dict[str, list[float]] = {"format": [], "prompt": [], "kinds": [], "prompt information": []}
    for seed in seeds:
        corpus = make(seed)
        facet = ClusterFacet()
        facet.fit(corpus.samples())
        labels = facet.labels(corpus.samples())
        found["format"].append(agreement(labels, corpus.formats))
        found["prompt"].append(agreement(labels, corpus.prompt_ids))
        found["kinds"].append(float(len(facet.kinds)))
        found["prompt information"].append(facet.prompt_information or 0.0)
    return {key: summary(values) for key, values in found.items()}


def measure_novel(seeds: range) -> dict[str, Any]:
    unseen, seen = [], []
    for seed in seeds:
        facet = ClusterFacet()
        facet.fit(invented_corpus(EVEN, seed).samples())
        for shares, rates in ((dict.fromkeys(LATER, 1.0), unseen), (EVEN, seen)):
            labels = facet.labels(invented_corpus(shares, 1000 + seed).samples(1))
            rates.append(labels.count("novel") / len(labels))
    return {"formats not seen before": summary(unseen), "formats of the reference": summary(seen)}


def measure_single(seeds: range) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name in WRITERS:
        for seed in seeds:
            facet = ClusterFacet()
            facet.fit(invented_corpus({name: 1.0}, seed).samples())
            found.setdefault(name, []).append(len(facet.kinds))
    return found


def texts_a_second(label: Callable[[Any], Any], corpora: list[Corpus]) -> list[float]:
    rates = []
    for corpus in corpora:
        samples = corpus.samples(1)
        start = time.process_time()
        label(samples)
        rates.append(len(samples) / (time.process_time() - start))
    return rates


def measure_throughput(seeds: range, num_prompts: int) -> dict[str, Any]:
    even = dict.fromkeys(WRITERS, 1.0)
    corpora = [in_range(invented_corpus(even, 2000 + seed, num_prompts)) for seed in seeds]
    facet = ClusterFacet()
    facet.fit(invented_corpus(even, 0).samples())
    taxonomy = RuleTaxonomy()
    rates = {
        "rules": texts_a_second(lambda samples: [taxonomy(text) for text in samples.texts], corpora),
        "format facet": texts_a_second(FormatFacet().labels, corpora),
        "clusters": texts_a_second(facet.labels, corpora),
        "clusters, texts seen before": texts_a_second(facet.labels, corpora),
    }
    lengths = [len(text) for corpus in corpora for text in corpus.texts]
    return {
        "characters a text": {"mean": mean(lengths), "least": min(lengths), "most": max(lengths)},
        "texts a corpus": len(corpora[0].texts),
        **{name: summary(values) for name, values in rates.items()},
    }


def in_range(corpus: Corpus) -> Corpus:
    """Texts of 250 to 1,000 characters."""
    rows = [row for row, text in enumerate(corpus.texts) if 250 <= len(text) <= 1000]
    return Corpus(*([column[row] for row in rows] for column in (corpus.texts, corpus.formats, corpus.prompt_ids)))


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    seeds = range(2 if options.quick else 5)
    print(f"{len(seeds)} seeds, 60 prompts x 8 samples: mean (standard error)")
    print(f"{'seven clusters of seven formats':34}{'ARI with format':>18}{'ARI with prompt':>18}")
    views = measure_views(seeds)
    for name, row in views.items():
        print(f"{name:34}{shown(row['format']):>18}{shown(row['prompt']):>18}", flush=True)
    print(f"\n{'the facet, number of kinds found':34}{'ARI with format':>18}{'ARI with prompt':>18}{'kinds':>18}")
    facet = {}
    for name, make in CORPORA.items():
        row = facet[name] = measure_facet(make, seeds)
        print(
            f"{name:34}{shown(row['format']):>18}{shown(row['prompt']):>18}{shown(row['kinds']):>18}",
            flush=True,
        )
    single = measure_single(range(1 if options.quick else 3))
    print(f"kinds found in a single format: {max(map(max, single.values()))} at most, of {len(single)} formats")
    novel = measure_novel(seeds)
    for name, row in novel.items():
        print(f"novel, {name:34}{shown(row):>18}", flush=True)
    speed = measure_throughput(range(2 if options.quick else 5), 100 if options.quick else 400)
    for name in ("rules", "format facet", "clusters", "clusters, texts seen before"):
        print(f"{name:34}{speed[name]['mean']:>12,.0f} texts a second and core", flush=True)
    targets = [
        *(
            target
            for name in CORPORA
            if name not in (ONE_LINE, ALIKE)
            for target in (
                Target(f"{name}: ARI with format, worst seed", min(facet[name]["format"]["by seed"]), 0.95),
                Target(f"{name}: ARI with prompt, worst seed", max(facet[name]["prompt"]["by seed"]), 0.1, False),
            )
        ),
        Target("a single format: most kinds found", max(map(max, single.values())), 1, False),
        Target("novel, formats not seen before", novel["formats not seen before"]["mean"], 0.95),
        Target("novel, formats of the reference", novel["formats of the reference"]["mean"], 0.02, False),
        Target("rules, texts a second and core, slowest corpus", min(speed["rules"]["by seed"]), 10_000),
        Target("clusters, texts a second and core, slowest corpus", min(speed["clusters"]["by seed"]), 5_000),
    ]
    results = {"views": views, "facet": facet, "single": single, "novel": novel, "throughput": speed}
    return finish("format_discovery", options.quick, results, targets)


if __name__ == "__main__":
    sys.exit(main())
