"""A log that is read while it is written."""

from __future__ import annotations

import gzip
import json
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.sources import DamagedFileError, SourceError, follow, open_source
from tests.eval.sources.logs import (
    generic_records,
    jsonl_text,
    rollout,
    samples_of,
    write_rollouts,
    write_trl_step,
)

LOG = [(step, f"p{i}", f"text ü {step} {i}", float(i)) for step in range(6) for i in range(3)]


class Writer:
    """Says that it is done once it was asked as often as it has things to write."""

    def __init__(self, *acts):
        self.acts = list(acts)

    def stop(self):
        if self.acts:
            self.acts.pop(0)()
            return False
        return True


def followed(source, *acts, **options):
    seen = []
    writer = Writer(*acts)
    for samples in follow(source, 0, writer.stop, **options):
        seen.append((samples.step, len(writer.acts)))
    return seen


def appender(path, data):
    def act():
        with path.open("ab") as file:
            file.write(data)

    return act


@pytest.mark.parametrize("chunk", [7, 40, 1000])
def test_a_growing_file_gives_each_step_once_and_whole(tmp_path, chunk):
    path = tmp_path / "log.jsonl"
    data = jsonl_text(generic_records(LOG))
    pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    writer = Writer(*(appender(path, piece) for piece in pieces))
    source = open_source(path, kind="jsonl")
    assert samples_of(follow(source, 0, writer.stop)) == LOG
    assert source.warnings == []


def test_the_last_step_is_held_back_until_a_later_one_begins_or_the_writer_is_done(tmp_path):
    path = tmp_path / "log.jsonl"
    steps = [jsonl_text(generic_records([s for s in LOG if s[0] == step])) for step in (0, 1)]
    source = open_source(path, kind="jsonl")
    acts = [appender(path, steps[0]), lambda: None, appender(path, steps[1][:10]), appender(path, steps[1][10:])]
    # Step 0 comes with the first whole line of step 1, step 1 once nothing is left to write.
    assert followed(source, *acts) == [(0, 0), (1, 0)]


def test_what_was_seen_before_an_interruption_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text(generic_records(LOG)))
    assert followed(open_source(path), after_step=3) == [(4, 0), (5, 0)]


def test_a_torn_line_of_a_writer_that_is_done_is_a_warning(tmp_path):
    path = tmp_path / "log.jsonl"
    source = open_source(path, kind="jsonl")
    data = jsonl_text(generic_records(LOG))
    assert len(followed(source, appender(path, data[:-4]))) == 6
    assert source.warnings == [f"{path}, line 18 is cut off before its end, and left out: the last of the file."]


def test_a_file_that_became_shorter_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    data = jsonl_text(generic_records(LOG))
    with pytest.raises(SourceError, match="expected a log that only grows"):
        followed(open_source(path, kind="jsonl"), appender(path, data), lambda: path.write_bytes(data[:20]))


def test_line_numbers_count_from_the_beginning_of_the_file(tmp_path):
    path = tmp_path / "log.jsonl"
    bad = jsonl_text([{"step": 6, "prompt": "p", "completion": 3, "reward": 1.0}])
    with pytest.raises(SourceError, match="line 19: 'completion' is 3"):
        followed(open_source(path, kind="jsonl"), appender(path, jsonl_text(generic_records(LOG))), appender(path, bad))


def test_a_table_that_appears_is_read_once(tmp_path):
    path = tmp_path / "log.parquet"
    table = pa.Table.from_pylist(generic_records(LOG))
    source = open_source(path, kind="parquet")

    def half():
        pq.write_table(table, path)
        whole.append(path.read_bytes())
        path.write_bytes(whole[0][:-30])

    whole = []
    writer = Writer(lambda: None, half, lambda: None, lambda: path.write_bytes(whole[0]), lambda: None)
    seen = [(samples.step, len(writer.acts)) for samples in follow(source, 0, writer.stop)]
    assert seen == [*((step, 1) for step in range(5)), (5, 0)]


def test_the_last_step_of_a_table_that_is_written_anew_waits_for_the_rest_of_it(tmp_path):
    """A writer that keeps one table may write it while a step is half there."""
    path = tmp_path / "log.parquet"
    write = lambda num: lambda: pq.write_table(pa.Table.from_pylist(generic_records(LOG[:num])), path)  # noqa: E731
    source = open_source(path, kind="parquet")
    writer = Writer(write(4), write(5), write(9))
    assert samples_of(follow(source, 0, writer.stop)) == LOG[:9]
    assert [list(source.poll(2, final)) for final in (True, False)] == [[], []]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_a_log_that_is_done_may_be_asked_again(tmp_path, suffix):
    path = tmp_path / f"log.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(generic_records(LOG)), path)
    else:
        data = jsonl_text(generic_records(LOG))
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    source = open_source(path)
    assert samples_of(source.poll(final=True)) == LOG
    assert list(source.poll(5, final=True)) == []


@pytest.mark.parametrize("after_step", [-1, 0, 1])
def test_a_line_whose_step_is_missing_is_named_though_it_is_the_first_new_one(tmp_path, after_step):
    """Whether lines say their step is told by the first line of the file, not of what is new in it."""
    path = tmp_path / "log.jsonl"
    steps = [jsonl_text(generic_records([LOG[0], LOG[3]])), jsonl_text([{"prompt": "p", "completion": "t"}])]
    with pytest.raises(SourceError, match=r"line 3: 'step' is None.*on every line, or on none"):
        followed(
            open_source(path, kind="jsonl"),
            *(appender(path, data) for data in steps),
            lambda: None,
            after_step=after_step,
        )


def test_completions_in_the_middle_of_being_written_are_waited_for(tmp_path):
    folder = tmp_path / "completions"
    folder.mkdir()
    whole = {}
    for step in (1, 2):
        path = write_trl_step(folder, step, ["p"], [f"text {step}"], {"r": [1.0]})
        whole[path] = path.read_bytes()
        path.unlink()
    (one, first), (two, second) = whole.items()
    source = open_source(tmp_path, kind="trl")
    acts = [
        lambda: one.write_bytes(first),
        lambda: two.write_bytes(second[:20]),
        lambda: two.write_bytes(second[:-9]),
        lambda: two.write_bytes(second),
    ]
    assert followed(source, *acts) == [(1, 3), (2, 0)]
    assert source.warnings == []


def test_a_file_that_keeps_changing_is_waited_for_as_long_as_it_does(tmp_path):
    (tmp_path / "completions").mkdir()
    path = write_trl_step(tmp_path / "completions", 1, ["p"], ["a text"], {"r": [1.0]})
    whole = path.read_bytes()
    acts = [lambda end=end: path.write_bytes(whole[:end]) for end in range(20, 32)]
    assert followed(open_source(tmp_path, kind="trl"), *acts, lambda: path.write_bytes(whole)) == [(1, 0)]


def test_an_unreadable_newest_file_that_no_longer_changes_is_damaged(tmp_path):
    folder = tmp_path / "completions"
    folder.mkdir()
    path = write_trl_step(folder, 1, ["p"], ["t"], {"r": [1.0]})
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(DamagedFileError, match=r"completions_00001\.parquet cannot be read"):
        followed(open_source(tmp_path), *[lambda: None] * 20)
    source = open_source(tmp_path, skip_damaged=True)
    later = lambda: write_trl_step(folder, 2, ["p"], ["u"], {"r": [1.0]})  # noqa: E731
    assert followed(source, *[lambda: None] * 3, later) == [(2, 0)]
    assert "completions_00001.parquet" in source.warnings[0] and "left out" in source.warnings[0]


def test_a_step_of_our_log_waits_for_the_files_of_all_processes(tmp_path):
    acts = [
        lambda: write_rollouts(tmp_path, [rollout(0)], rank=0),
        lambda: write_rollouts(tmp_path, [rollout(0)], rank=1),
        lambda: write_rollouts(tmp_path, [rollout(1)], rank=0),
    ]
    source = open_source(tmp_path, kind="vpo")
    writer = Writer(*acts)
    assert [(s.step, len(s), len(writer.acts)) for s in follow(source, 0, writer.stop)] == [(0, 4, 0), (1, 2, 0)]


def test_verl_s_newest_dump_waits_for_a_later_one(tmp_path):
    def dump(step):
        return lambda: (tmp_path / f"{step}.jsonl").write_bytes(
            jsonl_text([{"input": "p", "output": str(step), "gts": None, "score": 1.0, "step": step}])
        )

    acts = [dump(1), lambda: None, dump(2), lambda: None]
    assert followed(open_source(tmp_path, kind="verl"), *acts) == [(1, 1), (2, 0)]


def test_a_log_of_another_thread_is_followed_as_it_grows(tmp_path):
    path, done = tmp_path / "log.jsonl", threading.Event()

    def write():
        with path.open("wb", buffering=0) as file:
            for record in generic_records(LOG):
                line = (json.dumps(record) + "\n").encode()
                file.write(line[:9])
                time.sleep(0.002)
                file.write(line[9:])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert samples_of(follow(open_source(path, kind="jsonl"), 0.001, done.is_set)) == LOG
    finally:
        thread.join()


def test_a_poll_interval_below_zero_is_refused(tmp_path):
    with pytest.raises(ValueError, match="poll_s is -1: expected the seconds"):
        next(follow(open_source(tmp_path / "log.jsonl", kind="jsonl"), -1, lambda: True))


def test_a_larger_file_that_takes_the_place_of_a_followed_one_is_noticed(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text(generic_records(LOG[:9])))
    other = [(step, prompt, f"other {text}", reward) for step, prompt, text, reward in LOG]

    def replace():
        (tmp_path / "new").write_bytes(jsonl_text(generic_records(other)))
        (tmp_path / "new").replace(path)

    with pytest.raises(SourceError, match="another file than the one whose first"):
        followed(open_source(path), lambda: None, replace)


def test_a_followed_file_that_was_rewritten_with_the_same_beginning_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text(generic_records(LOG[:9])))

    def copy():  # as rsync does it: a new file with what was there, and more
        (tmp_path / "new").write_bytes(jsonl_text(generic_records(LOG)))
        (tmp_path / "new").replace(path)

    assert [step for step, _ in followed(open_source(path), lambda: None, copy)] == [0, 1, 2, 3, 4, 5]
