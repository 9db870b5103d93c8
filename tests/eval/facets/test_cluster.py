"""Clusters find formats and not prompts, on corpora whose formats are known; what was not there before is novel."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.format_corpus.corpus import WRITERS, Corpus, invented_corpus, word_problem_corpus
from benchmarks.format_corpus.formats import LATER, SEVEN
from eval.facets import ClusterFacet, agreement
from eval.formats import WITHOUT_FORMAT
from tests.eval.facets.sampled import samples_of

EVEN = dict.fromkeys(SEVEN, 1.0)


def fitted(corpus, **options):
    facet = ClusterFacet(**options)
    facet.fit(corpus.samples())
    return facet


@pytest.mark.parametrize("seed", range(3))
def test_seven_formats_are_found_and_prompts_are_not(seed):
    corpus = invented_corpus(EVEN, seed)
    facet = fitted(corpus)
    labels = facet.labels(corpus.samples())
    assert len(facet.kinds) == 7
    assert agreement(labels, corpus.formats) >= 0.95
    assert agreement(labels, corpus.prompt_ids) < 0.1
    assert abs(facet.prompt_information) < 0.1
    assert facet.silhouette > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_format_at_three_percent_is_found(seed):
    corpus = invented_corpus({"latex": 0.32, "json_object": 0.33, "bulleted": 0.32, "calculator": 0.03}, seed)
    facet = fitted(corpus)
    assert len(facet.kinds) == 4
    assert agreement(facet.labels(corpus.samples()), corpus.formats) >= 0.95
    assert facet.kinds[-1].share == pytest.approx(corpus.formats.count("calculator") / 480)


@pytest.mark.parametrize("name", WRITERS)
def test_a_single_format_is_one_kind(name):
    corpus = invented_corpus({name: 1.0}, seed=0, num_prompts=30)
    facet = fitted(corpus)
    assert [kind.share for kind in facet.kinds] == [1.0]
    assert facet.silhouette is None
    assert set(facet.labels(invented_corpus({name: 1.0}, 1, num_prompts=30).samples())) == {facet.kinds[0].name}


@pytest.mark.parametrize("wording", ["words", "chat"])
@pytest.mark.parametrize("seed", range(2))
def test_the_formats_of_word_problems_are_found_in_lines_and_on_one_line(wording, seed):
    corpus, later = (word_problem_corpus(wording, seed + place) for place in (0, 10))
    facet = fitted(corpus)
    assert len(facet.kinds) == 3
    assert agreement(facet.labels(corpus.samples()), corpus.formats) >= 0.95
    assert agreement(facet.labels(later.samples()), later.formats) >= 0.95


@pytest.mark.parametrize("seed", range(2))
def test_formats_that_the_reference_lacks_are_novel_and_its_own_are_not(seed):
    facet = fitted(invented_corpus(EVEN, seed))
    later = invented_corpus(dict.fromkeys(LATER, 1.0), seed + 100)
    assert facet.labels(later.samples()).count("novel") / len(later.texts) >= 0.95
    again = invented_corpus(EVEN, seed + 100)
    labels = facet.labels(again.samples())
    assert labels.count("novel") / len(labels) <= 0.02
    assert agreement(labels, again.formats) >= 0.95


def test_later_samples_cannot_move_a_kind():
    facet = fitted(invented_corpus(EVEN, 0))
    probe = invented_corpus(EVEN, 5, num_prompts=10)
    before = facet.labels(probe.samples())
    for seed in range(3):
        facet.labels(invented_corpus(dict.fromkeys(LATER, 1.0), seed, num_prompts=20).samples())
    assert facet.labels(probe.samples()) == before


def layouts_by_prompt(num_prompts=40, num_samples=8, seed=0):
    """Every prompt brings about a layout of its own: clusters of it would be prompts."""
    rng = random.Random(seed)
    lines = [
        "# h",
        "- b\n- c",
        "1. a\n2. b",
        "| a | b |",
        "```\nx\n```",
        "\\[ x \\]",
        "{\n}",
        "def f():",
        "#### 4",
        "<b>x</b>",
    ]
    texts, prompts = [], []
    for prompt in range(num_prompts):
        layout = [rng.choice(lines) for _ in range(7)]
        for _ in range(num_samples):
            texts.append("\n".join([*layout, str(rng.random())]))
            prompts.append(str(prompt))
    return Corpus(texts, prompts, prompts)


def test_layouts_that_belong_to_one_prompt_each_are_no_kinds():
    facet = fitted(layouts_by_prompt())
    assert len(facet.kinds) == 1
    assert facet.prompt_information == pytest.approx(0, abs=0.01)


def test_one_prompt_that_always_answers_in_its_own_way_is_no_kind():
    corpus = invented_corpus({"latex": 1, "python_function": 1}, 0, num_prompts=20)
    odd = invented_corpus({"table": 1}, 1, num_prompts=1, num_samples=24)
    both = Corpus(corpus.texts + odd.texts, corpus.formats + odd.formats, corpus.prompt_ids + odd.prompt_ids)
    facet = fitted(both)
    assert len(facet.kinds) == 2
    assert set(facet.labels(odd.samples())) == {"novel"}


def test_formats_that_go_with_prompts_are_found_and_reported():
    parts = [invented_corpus({name: 1.0}, seed, num_prompts=15) for seed, name in enumerate(list(SEVEN)[:4])]
    columns = ("texts", "formats", "prompt_ids")
    corpus = Corpus(*([value for part in parts for value in getattr(part, each)] for each in columns))
    facet = fitted(corpus)
    assert agreement(facet.labels(corpus.samples()), corpus.formats) >= 0.95
    assert facet.prompt_information > 0.3  # the reader is told


def test_the_same_seed_finds_the_same_and_the_order_of_samples_does_not_matter():
    corpus = invented_corpus(EVEN, 2, num_prompts=30)
    order = random.Random(0).sample(range(len(corpus.texts)), len(corpus.texts))
    shuffled = Corpus(*([column[i] for i in order] for column in (corpus.texts, corpus.formats, corpus.prompt_ids)))
    facet, again, other = fitted(corpus), fitted(corpus), fitted(shuffled)
    assert facet.state() == again.state()
    labels, theirs = facet.labels(corpus.samples()), other.labels(corpus.samples())
    assert agreement(labels, theirs) == 1


def test_more_texts_than_linkage_takes_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr("eval.facets.cluster.MOST_POINTS", 200)
    corpus = invented_corpus(EVEN, 3)
    facet = fitted(corpus, seed=1)
    assert agreement(facet.labels(corpus.samples()), corpus.formats) >= 0.95
    assert fitted(corpus, seed=1).state() == facet.state()
    assert fitted(corpus, seed=2).state() != facet.state()


def test_a_kind_has_a_name_marks_and_an_example_of_its_own():
    corpus = invented_corpus(EVEN, 0)
    facet = fitted(corpus)
    labels = facet.labels(corpus.samples())
    names = [kind.name for kind in facet.kinds]
    assert len(set(names)) == len(names)
    assert not set(names) & {"novel", *WITHOUT_FORMAT}
    assert [kind.share for kind in facet.kinds] == sorted((labels.count(name) / 480 for name in names), reverse=True)
    for kind in facet.kinds:
        assert kind.marks
        assert corpus.texts[kind.example_index] == kind.example
        assert labels[kind.example_index] == kind.name
    by_format = {corpus.formats[kind.example_index]: kind.name for kind in facet.kinds}
    assert by_format["calculator"] == "gsm & text+calculator"
    assert by_format["python_function"] == "def & >return"
    assert by_format["json_object"] == ">json & json"


def test_the_index_of_an_example_counts_samples_without_a_format_as_well():
    corpus = invented_corpus({"latex": 1, "json_object": 1}, 0, num_prompts=20)
    facet = ClusterFacet()
    facet.fit(samples_of(["", " ", *corpus.texts], ["a", "b", *corpus.prompt_ids]))
    for kind in facet.kinds:
        assert ["", " ", *corpus.texts][kind.example_index] == kind.example


def test_kinds_that_no_line_tells_apart_are_named_by_how_they_open():
    corpus = word_problem_corpus("words", 0)
    alike = Corpus(["so the solution : " + text for text in corpus.texts], corpus.formats, corpus.prompt_ids)
    assert all(kind.name.startswith("opens “so the solution :") for kind in fitted(alike).kinds)


@pytest.mark.parametrize("texts", [["", " ", "\n"], ["the end " * 30] * 5], ids=["empty", "degenerate"])
def test_a_reference_without_any_format_has_no_kinds_and_stays_calm(texts):
    facet = ClusterFacet()
    facet.fit(samples_of(texts))
    assert facet.kinds == []
    assert facet.prompt_information is None
    assert Counter(facet.labels(samples_of(texts))) == {("empty" if texts[0] == "" else "degenerate"): len(texts)}
    assert facet.labels(samples_of(["Now a sentence."])) == ["novel"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_samples_is_one_kind(count):
    facet = ClusterFacet()
    facet.fit(samples_of(["def f():\n    return 1", "Some prose.", "- a\n- b"][:count]))
    assert len(facet.kinds) == 1


def test_a_single_prompt_is_clustered_as_well():
    corpus = invented_corpus({"latex": 1, "json_object": 1}, 0, num_prompts=1, num_samples=40)
    facet = fitted(corpus)
    assert agreement(facet.labels(corpus.samples()), corpus.formats) == 1


def test_a_fit_forgets_the_one_before():
    facet = fitted(invented_corpus({"latex": 1.0}, 0, num_prompts=10))
    python = invented_corpus({"python_function": 1.0}, 0, num_prompts=10)
    assert set(facet.labels(python.samples())) == {"novel"}
    facet.fit(python.samples())
    assert set(facet.labels(python.samples())) == {facet.kinds[0].name}


@pytest.mark.parametrize("separation", [0.0, 1.0, -1, 2, float("nan")])
def test_a_separation_that_is_no_distance_is_refused(separation):
    with pytest.raises(ValueError, match="expected a cosine distance between 0 and 1"):
        ClusterFacet(separation=separation)


def test_a_lower_separation_finds_the_variants_of_a_format():
    corpus = invented_corpus({"python_function": 1.0}, 0)
    facet = fitted(corpus, separation=0.4)
    has_docstring = ['"""' in text for text in corpus.texts]
    assert len(facet.kinds) == 2
    assert agreement(facet.labels(corpus.samples()), has_docstring) > 0.95
