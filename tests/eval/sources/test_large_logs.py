"""A log of any length is read in the memory of a step."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.sources import follow, open_source
from tests.checkout import ROOT

TEXT = "The answer follows from adding both sides and dividing by two, so x = "


def record(step, i):
    return {"step": step, "prompt": f"Question {i % 50}", "completion": f"{TEXT}{step} {i}", "reward": float(i % 2)}


def write_jsonl(path, steps, rows):
    with path.open("w") as file:
        for step in range(steps):
            file.writelines(json.dumps(record(step, i)) + "\n" for i in range(rows))


def write_parquet(path, steps, rows):
    with pq.ParquetWriter(path, pa.Table.from_pylist([record(0, 0)]).schema) as writer:
        for step in range(steps):
            writer.write_table(pa.Table.from_pylist([record(step, i) for i in range(rows)]))


def read(path, follows):
    source = open_source(path)
    num = 0
    for samples in follow(source, 0, lambda: True) if follows else source.read():
        num += len(samples)
    return num


def peak_megabytes(path, follows):
    tracemalloc.start()
    try:
        num = read(path, follows)
        return num, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize(("suffix", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
def test_ten_times_the_steps_take_no_more_memory(suffix, write, follows, tmp_path):
    peaks = []
    for steps in (3, 30):
        path = tmp_path / f"{steps}.{suffix}"
        write(path, steps, 500)
        num, peak = peak_megabytes(path, follows)
        assert num == steps * 500
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0] + 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("suffix", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
def test_a_million_rows_take_the_memory_of_a_step(suffix, write, tmp_path):
    """In a process of its own, as the operating system sees it: a trace of every object would take minutes."""
    path = tmp_path / f"log.{suffix}"
    write(path, 500, 2000)
    code = (
        "import resource, sys; from eval.sources import open_source\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3\n"
        "before = peak(); print(sum(map(len, open_source(sys.argv[1]).read())), peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=ROOT, check=True)
    num, megabytes = done.stdout.split()
    assert int(num) == 1_000_000
    assert float(megabytes) < 150  # all of it is more than 500 MB as Python objects
