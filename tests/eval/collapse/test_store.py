from __future__ import annotations

import json

import numpy as np
import pytest

from eval.collapse.gallery import medoids
from eval.collapse.monitor import Monitor
from eval.collapse.store import MonitorStore
from eval.facets import FormatFacet, parse_rules
from tests.eval.collapse.stream import BySign, mixture

BASE, RIGHT = (0.5, 0.3, 0.2), (0.5, 0.4, 0.3)
RULES = {"every": 1, "correct": None}


def run(store: MonitorStore, steps: range, rng, watched: Monitor | None = None) -> Monitor:
    """Looks of a collapsing run, kept as the callback keeps them."""
    watched = watched or Monitor([BySign()], base=mixture(0, BASE, RIGHT, rng), with_vendi=False)
    for step in steps:
        known = len(watched.alarms)
        gone = min(step / 6, 1.0)
        shares = (0.5 + 0.48 * gone, 0.3 - 0.29 * gone, 0.2 - 0.19 * gone)
        record = watched.look(mixture(step, shares, RIGHT, rng, sampling={"temperature": 1.0}))
        if record.number == 1:
            store.set_reference(watched.reference, watched.facets, RULES)
        for alarm in watched.alarms[known:]:
            store.add_alarm(alarm)
            store.set_examples(medoids(watched.recent[-1], "alarm"))
        store.add_look(record)
    return watched


def test_what_was_kept_comes_back(tmp_path):
    store = MonitorStore(tmp_path / "monitor")
    watched = run(store, range(1, 10), np.random.default_rng(0))
    assert watched.alarms
    again = MonitorStore(tmp_path / "monitor")
    assert again.looks() == watched.looks
    assert again.alarms() == watched.alarms
    assert again.examples()[0].when == "alarm"
    reference = again.reference([BySign()], RULES)
    assert reference.quantities == watched.reference.quantities
    assert reference.solved == watched.reference.solved
    assert reference.correctness == watched.reference.correctness
    before, after = watched.reference.counted, reference.counted
    assert list(after.samples.texts) == list(before.samples.texts)
    assert np.array_equal(after.samples.rewards, before.samples.rewards)
    assert after.labels == before.labels


@pytest.mark.parametrize("cut", [1, 7, 60, 400])
def test_a_line_that_a_kill_has_torn_is_cut_off_and_the_run_goes_on(tmp_path, cut):
    store = MonitorStore(tmp_path)
    watched = run(store, range(1, 5), np.random.default_rng(1))
    path = tmp_path / "looks.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert store.looks() == watched.looks[:3]
    store.add_look(watched.looks[3])
    assert store.looks() == watched.looks


def test_looks_that_a_resumed_run_makes_again_are_forgotten_with_their_alarms(tmp_path):
    store = MonitorStore(tmp_path)
    watched = run(store, range(1, 10), np.random.default_rng(2))
    first = watched.alarms[0].step
    store.drop_from(first)
    assert [look.step for look in store.looks()] == list(range(1, first))
    assert store.alarms() == [] and store.examples() == []
    assert store.reference([BySign()], RULES) is not None
    store.drop_from(0)
    assert store.looks() == []
    assert store.reference([BySign()], RULES) is None  # the first look sets it anew


def test_an_alarm_whose_look_was_not_written_any_more_does_not_count(tmp_path):
    store = MonitorStore(tmp_path)
    watched = run(store, range(1, 10), np.random.default_rng(3))
    number = watched.alarms[0].look
    lines = (tmp_path / "looks.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "looks.jsonl").write_bytes(b"".join(lines[: number - 1]))
    assert store.alarms() == []


def test_other_settings_are_refused_by_name(tmp_path):
    store = MonitorStore(tmp_path)
    run(store, range(1, 3), np.random.default_rng(4))
    with pytest.raises(ValueError, match=r"begun with other settings \(every was 1 and is 2\)"):
        store.reference([BySign()], RULES | {"every": 2})


def test_rules_that_were_edited_before_a_resume_are_refused_with_the_folder(tmp_path):
    rules = [parse_rules(f"- label: steps\n  pattern: '{word}'") for word in ("first", "step")]
    rng = np.random.default_rng(7)
    watched = Monitor([FormatFacet(rules[0])], base=mixture(0, BASE, RIGHT, rng), with_vendi=False)
    store = MonitorStore(tmp_path / "monitor")
    run(store, range(1, 3), rng, watched)
    assert store.reference([FormatFacet(rules[0])], RULES) is not None
    with pytest.raises(ValueError, match=r"monitor: facet 'format': the rules are not those .* another folder"):
        store.reference([FormatFacet(rules[1])], RULES)


def test_a_record_of_another_version_is_named_by_its_field(tmp_path):
    store = MonitorStore(tmp_path)
    run(store, range(1, 3), np.random.default_rng(5))
    path = tmp_path / "looks.jsonl"
    raw = json.loads(path.read_text().splitlines()[0])
    raw["mood"] = "good"
    path.write_text(json.dumps(raw) + "\n")
    with pytest.raises(ValueError, match=r"LookRecord has unknown fields \['mood'\]"):
        store.looks()


def test_a_damaged_reference_is_named(tmp_path):
    store = MonitorStore(tmp_path)
    run(store, range(1, 3), np.random.default_rng(6))
    (tmp_path / "reference.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"reference.parquet cannot be read .* delete its folder to begin anew"):
        store.reference([BySign()], RULES)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("looks.jsonl", b"[]\n"),
        ("looks.jsonl", b"[" * 100_000 + b"\n"),
        ("looks.jsonl", b"\xff\n"),
        ("alarms.jsonl", b'{"look": "x"}\n'),
        ("examples.json", b"3"),
        ("watch.json", b"{}"),
        ("watch.json", b'{"settings": {"every": 1, "correct": null}, "facets": 3}'),
        ("watch.json", b'{"settings": {"every": 1, "correct": null}, "facets": {"sign": [1]}}'),
        ("reference.parquet", b"PAR1PAR1"),
    ],
)
def test_a_file_that_was_not_written_here_is_named_with_the_cure(tmp_path, name, content):
    store = MonitorStore(tmp_path)
    run(store, range(1, 4), np.random.default_rng(2))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"to begin anew|was begun with the facets") as raised:
        (store.looks(), store.alarms(), store.examples(), store.reference([BySign()], RULES))
    assert str(tmp_path) in str(raised.value)
