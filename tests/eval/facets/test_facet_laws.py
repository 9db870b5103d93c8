"""What every facet has to keep: one label a sample, frozen, by the text alone, the same after a restart."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.format_corpus.corpus import WRITERS, invented_corpus, word_problem_corpus
from eval.facets import (
    STANDARD,
    ClusterFacet,
    LengthFacet,
    OpeningFacet,
    TaskFacet,
    default_facets,
    facet_states,
    parse_rules,
    restore_facets,
)
from eval.facets.rule_labels import FormatFacet
from tests.eval.facets.sampled import samples_of

EVEN = dict.fromkeys(WRITERS, 1.0)
BASE = invented_corpus(EVEN, seed=0, num_prompts=20)
WRITTEN = (
    "- label: code\n  any_of: ['def ', '<llm-code>']\n- label: list\n  pattern: '[-*]\\s'\n  lines: true\n  least: 2\n"
)


def kind_of_length(text, row):
    return "long" if len(text) > 300 else "short"


def all_facets():
    return [
        *default_facets(task_label=kind_of_length),
        FormatFacet(parse_rules(WRITTEN), name="written"),
        ClusterFacet(separation=0.4, seed=3),
    ]


def fitted():
    found = all_facets()
    for facet in found:
        facet.fit(BASE.samples())
    return found


FITTED = fitted()
ids = [f"{facet.name}-{place}" for place, facet in enumerate(FITTED)]
each_facet = pytest.mark.parametrize("facet", FITTED, ids=ids)

lines = st.sampled_from(
    [
        *[
            "def f(x):",
            "    return x",
            "x = 1",
            "- a",
            "1. b",
            "",
            "<think>",
            "</think>",
            "#### 4",
            "\\[ x^2 \\]",
            "$x$",
        ],
        *[
            "The answer is 4.",
            "We define it.",
            "| a | b |",
            '{"a": 1}',
            "```python",
            "```",
            "## Plan",
            "\t",
            "\x00",
            "é",
        ],
    ]
)
written_texts = st.lists(lines, max_size=12).map("\n".join)
some_texts = st.one_of(written_texts, st.text(max_size=80), st.sampled_from(BASE.texts))
batches = st.lists(some_texts, min_size=1, max_size=12)


@each_facet
@given(texts=batches)
@settings(max_examples=40)
def test_every_sample_has_exactly_one_label_and_shares_sum_to_one(facet, texts):
    labels = facet.labels(samples_of(texts))
    assert len(labels) == len(texts)
    assert all(isinstance(label, str) and label for label in labels)
    assert sum(count / len(texts) for count in Counter(labels).values()) == pytest.approx(1)


@each_facet
@given(texts=batches, data=st.data())
@settings(max_examples=40)
def test_a_label_depends_neither_on_batch_mates_nor_on_order(facet, texts, data):
    order = data.draw(st.permutations(range(len(texts))))
    labels = facet.labels(samples_of(texts))
    assert facet.labels(samples_of([texts[i] for i in order])) == [labels[i] for i in order]
    assert [facet.labels(samples_of([text]))[0] for text in texts] == labels


@each_facet
@given(texts=batches, data=st.data())
@settings(max_examples=40)
def test_a_label_never_depends_on_success(facet, texts, data):
    rewards = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(texts), max_size=len(texts))))
    right, wrong = (samples_of(texts, rewards=values[:, None]) for values in (rewards, 1 - rewards))
    assert facet.labels(right) == facet.labels(wrong)


def test_categories_do_not_depend_on_success_either():
    rng = np.random.default_rng(0)
    for facet, other in zip(all_facets(), FITTED, strict=True):
        facet.fit(samples_of(BASE.texts, BASE.prompt_ids, rewards=rng.permutation(np.arange(160.0) % 2)[:, None]))
        assert facet.state() == other.state()


@each_facet
def test_labels_are_the_same_after_a_restart(facet):
    later = samples_of([*invented_corpus(EVEN, seed=9, num_prompts=10).texts, "", "new " * 30, "4", "for all x"])
    again = next(new for new, old in zip(all_facets(), FITTED, strict=True) if old is facet)
    again.restore(json.loads(json.dumps(facet.state(), allow_nan=False)))
    assert again.labels(later) == facet.labels(later)
    assert again.state() == facet.state()


@each_facet
def test_labels_do_not_change_what_was_fitted(facet):
    before = json.dumps(facet.state())
    facet.labels(word_problem_corpus("words", seed=1, num_prompts=5).samples())
    assert json.dumps(facet.state()) == before


@each_facet
def test_no_samples_have_no_labels(facet):
    assert facet.labels(samples_of([])) == []


EDITS = [
    WRITTEN.replace("'def '", "'class '"),
    WRITTEN.replace("label: list", "label: lists"),
    WRITTEN.replace("least: 2", "least: 3"),
    WRITTEN.replace("any_of", "all_of"),
    WRITTEN + "  flags: ignorecase\n",
    "".join(f"- label{each}" for each in reversed(WRITTEN.split("- label")[1:])),
]


@pytest.mark.parametrize("edited", EDITS)
def test_rules_that_were_edited_are_noticed_at_a_restart(edited):
    state = json.loads(json.dumps(FormatFacet(parse_rules(WRITTEN)).state()))
    FormatFacet(parse_rules("# a comment\n" + WRITTEN)).restore(state)
    for other in (FormatFacet(parse_rules(edited)), FormatFacet()):
        with pytest.raises(ValueError, match=r"facet 'format': the rules are not those .* put the rules back"):
            other.restore(state)


def test_rules_without_a_fingerprint_or_of_an_older_state_are_taken_up():
    own = FormatFacet(lambda text, finish_reason="stop", row=None: "a")
    assert own.state() == {}
    own.restore(FormatFacet().state())
    FormatFacet().restore({})


def test_labels_of_a_taxonomy_that_reads_texts_only_are_checked_too():
    class NoText:
        reads_text_only = True

        def __init__(self, stopped):
            self.stopped = stopped

        def __call__(self, text, finish_reason="stop", row=None):
            return "a" if (finish_reason == "stop") == self.stopped else 3

    for stopped in (True, False):
        with pytest.raises(TypeError, match="facet 'format': a label is 3, of type int"):
            FormatFacet(NoText(stopped)).labels(samples_of(["a", "b"], finish_reasons=["stop", "length"]))


@pytest.mark.parametrize("kind", [ClusterFacet, LengthFacet, OpeningFacet])
def test_a_facet_that_was_not_fitted_says_so(kind):
    assert kind().state() == {}
    with pytest.raises(RuntimeError, match=r"was not fitted.*Call fit"):
        kind().labels(samples_of(["a"]))
    emptied = kind()
    emptied.fit(BASE.samples())
    emptied.restore({})
    untouched = {name: value for name, value in vars(kind()).items() if not name.startswith("_")}
    assert {name: value for name, value in vars(emptied).items() if not name.startswith("_")} == untouched
    with pytest.raises(RuntimeError, match="was not fitted"):
        emptied.labels(samples_of(["a"]))


@pytest.mark.parametrize("kind", [ClusterFacet, LengthFacet])
def test_a_reference_without_samples_is_an_error(kind):
    with pytest.raises(ValueError, match="the reference has no samples"):
        kind().fit(samples_of([]))


def test_facets_are_chosen_by_name():
    assert tuple(facet.name for facet in default_facets()) == STANDARD
    assert [facet.name for facet in default_facets("length, format")] == ["length", "format"]
    assert [facet.name for facet in default_facets(task_label=kind_of_length)] == [*STANDARD, "task"]
    assert all(facet.description for facet in default_facets(task_label=kind_of_length))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("format,colour", "facets are 'format', 'colour': expected some of format, opening"),
        ("", "facets are ''"),
        ([], "facets are none"),
        ("task", "'task' needs the task's label function"),
        ("format,format", "facet 'format' stands twice"),
    ],
)
def test_a_wrong_choice_of_facets_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        default_facets(names)


def test_all_states_are_kept_and_taken_up_together():
    again = default_facets(task_label=kind_of_length)
    restore_facets(again, json.loads(json.dumps(facet_states(FITTED[:6]))))
    later = invented_corpus(EVEN, seed=5, num_prompts=4).samples()
    assert [facet.labels(later) for facet in again] == [facet.labels(later) for facet in FITTED[:6]]
    with pytest.raises(ValueError, match="there is no state of cluster, only of format"):
        restore_facets(default_facets("format,cluster"), {"format": {}})


def test_a_tasks_own_labels_are_checked():
    samples = samples_of(["a"], rows=[{"x": 1}])
    assert TaskFacet(lambda text, row: f"{text}{row['x']}").labels(samples) == ["a1"]
    with pytest.raises(TypeError, match="a label is 1, of type int"):
        TaskFacet(lambda text, row: row["x"]).labels(samples)
    with pytest.raises(ValueError, match=r"asks for the column 'x', and the row has none"):
        TaskFacet(lambda text, row: row["x"]).labels(samples_of(["a"]))


def test_a_taxonomy_that_reads_rows_gets_them():
    class ByRow:
        def __call__(self, text, finish_reason="stop", row=None):
            return row["kind"]

    texts, rows = ["same", "same"], [{"kind": "a"}, {"kind": "b"}]
    assert FormatFacet(ByRow()).labels(samples_of(texts, rows=rows)) == ["a", "b"]
