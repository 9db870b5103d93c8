"""The traps of the classifier published with Echo Chamber, for the rules and for the clusters.

Its faults, found in its code: three letters "def" anywhere are code; code that does not run changes its format; errors
in grading make a sample "text"; empty, endless and cut off outputs are "text", too; some samples are in no class.
"""

from __future__ import annotations

import random

import pytest

from benchmarks.format_corpus.corpus import invented_corpus
from benchmarks.format_corpus.formats import plain_prose, python_function, tagged_code
from benchmarks.format_corpus.words import subject
from eval.facets import ClusterFacet, FormatFacet
from tests.eval.facets.sampled import samples_of

BASE = invented_corpus({"python_function": 1, "tagged_code": 1, "plain_prose": 1}, seed=0, num_prompts=30)


def facets():
    found = [FormatFacet(), ClusterFacet()]
    for facet in found:
        facet.fit(BASE.samples())
    return found


FACETS = facets()
each_facet = pytest.mark.parametrize("facet", FACETS, ids=["format", "cluster"])


def texts_of(writer, count=40):
    rng = random.Random(1)
    return [writer(subject(rng), rng) for _ in range(count)]


def the_label(facet, writer):
    (label,) = set(facet.labels(samples_of(texts_of(writer))))
    return label


@each_facet
@pytest.mark.parametrize("word", ["define", "undefined", "definition", "default", "def"])
def test_words_that_hold_def_are_not_code(facet, word):
    prose = the_label(facet, plain_prose)
    texts = [text.replace(" the ", f" {word} the ") + f" So {word} it." for text in texts_of(plain_prose)]
    assert set(facet.labels(samples_of(texts))) == {prose}
    assert prose != the_label(facet, python_function)


BREAKS = {
    "a bracket is missing": lambda text: text.replace("()", "(", 1),
    "the operators are doubled": lambda text: text.replace(" + ", " +* ").replace(" / ", " // * "),
    "a name is not defined": lambda text: text.replace("result = ", "reslt = "),
    "the answer is wrong": lambda text: text.replace("1", "7").replace("2", "9"),
}


@each_facet
@pytest.mark.parametrize("writer", [python_function, tagged_code])
@pytest.mark.parametrize("broken", BREAKS.values(), ids=list(BREAKS))
def test_code_that_does_not_run_keeps_its_format(facet, writer, broken):
    assert set(facet.labels(samples_of([broken(text) for text in texts_of(writer)]))) == {the_label(facet, writer)}


@each_facet
def test_tagged_code_that_holds_a_function_does_not_become_a_function(facet):
    # the published one labels `<llm-code>` by its tag, unless the code fails: then the `def` in it decides
    texts = [text.replace("<llm-code>", "<llm-code>\n# def of it") for text in texts_of(tagged_code)]
    assert set(facet.labels(samples_of(texts))) == {the_label(facet, tagged_code)}


@each_facet
def test_empty_endless_and_cut_off_texts_are_classes_of_their_own(facet):
    prose = texts_of(plain_prose, 4)
    samples = samples_of(["", " \n\t", prose[0] + " and so on" * 20, prose[1], prose[2], prose[3]])
    reasons = ["stop", "stop", "length", "length", "", None]
    labels = facet.labels(samples_of(samples.texts, finish_reasons=reasons))
    assert labels[:4] == ["empty", "empty", "degenerate", "truncated"]
    assert labels[4] == labels[5] == the_label(facet, plain_prose)  # not known whether cut: taken as whole


@each_facet
def test_what_is_of_no_known_kind_has_a_class(facet):
    unknown = {"format": "other", "cluster": "novel"}[facet.name]
    assert facet.labels(samples_of(["42 : 17 % 3", "= = =\n= = =\n+ 1"])) == [unknown, unknown]


@each_facet
def test_shares_sum_to_one_over_samples_of_every_sort(facet):
    texts = [*BASE.texts, "", "x " * 90, "?", "\x00", "def", "{", "<"]
    labels = facet.labels(samples_of(texts))
    assert sum(labels.count(label) for label in set(labels)) == len(texts)
