"""What healing reads, and how the figures of a pipeline are written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.vpo.cli.tiny_pipeline import TASK, tiny_recipe
from vpo.cli.pipeline.config import read_pipeline
from vpo.cli.pipeline.jobs import jobs_of
from vpo.cli.pipeline.summary import markdown, summarise, write_summary
from vpo.cli.pipeline.work import texts_of


def test_healing_reads_a_file_of_texts_or_pairs_of_a_function(tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n')
    assert texts_of(str(tmp_path / "texts.jsonl"), 2, 0)["text"] == ["one", "two"]
    (tmp_path / "mine.py").write_text(TASK)
    pairs = texts_of(f"{tmp_path / 'mine.py'}:examples", 3, 1)
    assert pairs["prompt"][0] == [{"role": "user", "content": "say red w0"}]
    assert pairs["completion"][0] == [{"role": "assistant", "content": "<x_1> red </x_1> <x_2> red </x_2>"}]
    assert len(pairs) == 3
    (tmp_path / "plain.py").write_text("def pairs(split, size, seed):\n    while True:\n        yield 'a', 'b'\n")
    plain = texts_of(f"{tmp_path / 'plain.py'}:pairs", 2, 0)
    assert [*plain] == [{"prompt": "a", "completion": "b"}] * 2  # of an endless one, as many as were asked for


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("nowhere.txt", "expected a file of texts, or file.py:function"),
        ("mine.py:nothing", "expected a function nothing in"),
        ("empty.py:pairs", "gave no pair"),
        ("nowhere.py:pairs", "there is no file"),
    ],
)
def test_texts_that_are_not_there_are_named(texts, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TASK)
    Path("empty.py").write_text("def pairs(split, size, seed):\n    return []\n")
    with pytest.raises(ValueError, match=said):
        texts_of(texts, None, 0)


def test_a_summary_is_of_what_is_done_and_says_no_more(tmp_path):
    pipeline = read_pipeline(tiny_recipe(tmp_path))
    (tmp_path / "run" / "convert").mkdir(parents=True)
    convert = jobs_of(pipeline)[0]
    convert.note_seconds(12.34)
    assert summarise(pipeline, "vpo pipeline x.yaml")["seconds"] == {}
    (convert.folder / "done.json").write_text("{}")
    found = summarise(pipeline, "vpo pipeline x.yaml")
    assert found["seconds"] == {"convert": 12.3}
    assert found.keys() & {"policies", "training", "monitor", "search"} == set()
    for path in write_summary(found, pipeline.out):
        assert path.is_file()
    assert json.loads((pipeline.out / "summary.json").read_text()) == found


def test_a_difference_without_an_interval_and_a_mean_without_an_error_are_written_as_such():
    row = {"best@1": {"mean": 0.5, "se": None}, "pool L1": {"mean": None, "se": None}}
    difference = {"policy": "trained", "against": "healed", "metric": "best@1", "mean": 0.25, "lo": None, "hi": None}
    page = markdown(
        {
            "command": "vpo pipeline x.yaml", "seed": 0, "hardware": "", "seconds": {"convert": 61.0}, "prompts": 1,
            "policies": {"trained": row}, "differences": [difference, {**difference, "lo": -0.1, "hi": 0.6}],
        }
    )  # fmt: skip
    assert "| best@1 | 0.500 |\n| pool L1 |  |" in page
    assert "| trained − healed | best@1 | +0.250 |  |\n" in page
    assert "| trained − healed | best@1 | +0.250 | [-0.100, +0.600] |" in page


def test_the_time_of_a_stage_is_of_all_its_processes(tmp_path):
    job = jobs_of(read_pipeline(tiny_recipe(tmp_path)))[1]
    assert job.seconds == 0
    job.note_seconds(3.0)
    job.note_seconds(job.seconds + 2.0)
    assert job.seconds == 5.0
    assert os.listdir(job.folder) == ["seconds.json"]
