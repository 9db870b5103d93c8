"""JSON lines and Parquet: a search's ledger, logs of rollouts of every kind, rows of tasks."""

from __future__ import annotations

import functools
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

from eval.rollouts import ROLLOUT_SCHEMA
from eval.sources import KINDS, open_source, read_base
from search.ledger import LedgerError, read_told
from tests.eval.rollout_rows import rollout_row
from tests.fuzz.mutations import AS_TEXT, garbled, json_text, mutated
from tests.fuzz.target import Target
from tests.fuzz.watching import command, empty_folder, watched
from vpo.tasks.rows import BadRowError, local_rows

_SEARCH = {
    "problem": {"name": "tests/fuzz/counting.py", "num_answers": 1},
    "sampler": {"name": "tests.search.cli_parts:digits", "batches": True},
    "procedure": "evolution",
    "budget": {"max_answers": 6},
    "sampling": {"max_new_tokens": 9},
    "batch": 3,
    "out": "OUT",
}


@functools.cache
def _ledger() -> tuple[tuple[dict[str, Any], ...], bytes, bytes]:
    """Rows of a small search's ledger, its settings, and its ``run.json``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        path = Path(name) / "search.yaml"
        source = str(Path(__file__).parent / "counting.py")
        path.write_text(yaml.safe_dump({**_SEARCH, "problem": {"name": source, "num_answers": 1}, "out": str(folder)}))
        status, said = command(["search", "run", str(path)], Path(name))
        assert status == 0, said
        rows = tuple(map(json.loads, (folder / "ledger.jsonl").read_text().splitlines()))
        settings = (folder / "search.yaml").read_bytes().replace(str(folder).encode(), b"OUT")
        return rows, settings, (folder / "run.json").read_bytes()


def records(*documents: Any, most: int = 3) -> st.SearchStrategy[bytes]:
    """Lines of JSON, some edited, some not whole."""
    return (
        mutated(list(documents), hostile=[*AS_TEXT, *AS_TEXT], most=most)
        .map(lambda rows: "".join(json_text(row) + "\n" for row in rows).encode("utf-8", "surrogatepass"))
        .flatmap(garbled)
    )


def _search_lines() -> st.SearchStrategy[tuple[bytes, str]]:
    commands = st.sampled_from(
        [
            "show",
            "show -p 0 --best",
            "show -p 0 --id 0",
            "resume --trust",
            "replay --trust",
            "replay --trust --evaluate",
            "runs",
        ]
    )
    return st.tuples(records(*_ledger()[0]), commands)


def _search(given: tuple[bytes, str]) -> None:
    lines, what = given
    with empty_folder() as folder:
        (folder / "ledger.jsonl").write_bytes(lines)
        (folder / "search.yaml").write_bytes(_ledger()[1].replace(b"OUT", str(folder).encode()))
        (folder / "run.json").write_bytes(_ledger()[2])
        first, *rest = what.split()
        words = ["runs", str(folder)] if first == "runs" else ["search", first, str(folder), *rest]
        command(words, folder)
        with watched(folder):
            try:
                read_told(folder / "ledger.jsonl")
            except LedgerError as error:
                assert "ledger.jsonl" in str(error)


def _generic(step: int, i: int) -> dict[str, Any]:
    return {
        "step": step, "prompt": f"p{i // 2}", "completion": f"text {step} {i}", "reward": i / 4,
        "rewards": {"a": 0.5, "b": None}, "finish_reason": "stop", "tokens": 3, "entropy": 0.4, "depth": 2.0,
        "epoch": 0.5, "temperature": 1.0,
    }  # fmt: skip


_CHAT = [{"role": "user", "content": "hello"}]
_REPLY = [{"role": "assistant", "content": "x"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "jsonl": [_generic(step, i) for step in range(2) for i in range(4)],
    "chat": [{**_generic(0, i), "prompt": _CHAT, "completion": _REPLY} for i in range(3)],
    "verl": [{"input": "p", "output": f"t{i}", "gts": None, "score": i / 4, "step": 1, "acc": True} for i in range(4)],
    "openrlhf": [{"input": "p", "output": f"t{i}", "reward": i / 4} for i in range(4)],
    "trl": [{"step": 1, "prompt": "p", "completion": f"t{i}", "acc": i / 4, "advantage": 0.0} for i in range(4)],
    "vpo": [rollout_row(step=0) for _ in range(4)],
}  # fmt: skip


@st.composite
def _logs(draw: st.DrawFn) -> tuple[str, bytes, str | None, bool]:
    kind = draw(st.sampled_from(sorted(ROWS)))
    rows = ROWS[kind]
    named = draw(st.sampled_from([None, None, *KINDS]))
    skips = draw(st.booleans())
    if kind in ("jsonl", "chat", "verl", "openrlhf") and draw(st.booleans()):
        content = draw(records(*rows))
        name = "1.jsonl"
        if draw(st.integers(0, 3)) == 0:
            content, name = draw(garbled(gzip.compress(content), chance=2)), "1.jsonl.gz"
        return name, content, named, skips
    changed = draw(mutated(rows, hostile=[[], {"a": [1]}, b"\xff", 1.5]))
    name = {"trl": "completions_00001.parquet", "vpo": "rank0000-step00000000.parquet"}.get(kind, "log.parquet")
    return name, draw(garbled(parquet(changed, kind), chance=3)), named, skips


def parquet(rows: Any, kind: str) -> bytes:
    """A table of the rows; columns that are of no one kind are left out, or are text."""
    rows = [row for row in rows if isinstance(row, dict)]
    columns = {}
    for name in dict.fromkeys(str(key) for row in rows for key in row):
        values = [row.get(name) for row in rows]
        schema = ROLLOUT_SCHEMA if kind == "vpo" else pa.schema([])
        for wanted in (schema.field(name).type if name in schema.names else None, None):
            try:
                columns[name.encode("utf-8", "replace").decode()] = pa.array(values, type=wanted)
                break
            except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError):
                continue
    table = pa.table(columns)
    if kind == "vpo":
        table = table.replace_schema_metadata(ROLLOUT_SCHEMA.metadata)
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink)
    except (pa.ArrowException, ValueError):
        return b"PAR1PAR1"
    return bytes(sink.getvalue().to_pybytes())


def _log(given: tuple[str, bytes, str | None, bool]) -> None:
    name, content, kind, skips = given
    with empty_folder() as folder:
        path = folder / name
        path.write_bytes(content)
        for place in (path, folder):
            for read in (open_source, read_base):
                with watched(folder):
                    _read(read, place, kind, skips)


def _read(read: Any, place: Path, kind: str | None, skips: bool) -> None:
    try:
        found = read(place, kind, skips)
        if read is open_source:
            list(found.read())
    except (ValueError, FileNotFoundError) as error:
        assert type(error).__module__.startswith(("eval.", "builtins")), repr(error)
        assert str(place.parent) in str(error), repr(error)


def _monitor(given: tuple[str, bytes, str | None, bool]) -> None:
    name, content, kind, skips = given
    with empty_folder() as folder:
        path = folder / name
        path.write_bytes(content)
        words = ["monitor", str(path), "--out", str(folder / "out"), "--workers", "1", "--facets", "format,length"]
        command([*words, *(["--kind", kind] if kind else []), *(["--skip-damaged"] if skips else [])], folder)


def _rows(given: tuple[str, bytes]) -> None:
    name, content = given
    with empty_folder() as folder:
        path = folder / name
        path.write_bytes(content)
        with watched(folder):
            try:
                for row in local_rows(path, ("train",), True):
                    for column in ("question", "answer"):
                        row.text(column)
                    row.texts("parts")
                    row.json("more")
            except (BadRowError, ValueError) as error:
                assert name in str(error), repr(error)


_TASK_ROWS = [{"question": "q", "answer": "a", "parts": ["x", "y"], "more": '{"a": 1}'} for _ in range(3)]


def _task_rows() -> st.SearchStrategy[tuple[str, bytes]]:
    array = mutated(_TASK_ROWS, hostile=[*AS_TEXT]).map(lambda rows: json_text(rows).encode("utf-8", "surrogatepass"))
    table = mutated(_TASK_ROWS).map(lambda rows: parquet(rows, "rows")).flatmap(lambda each: garbled(each, chance=2))
    return st.one_of(
        st.tuples(st.just("train.jsonl"), records(*_TASK_ROWS)),
        st.tuples(st.just("train.json"), array.flatmap(garbled)),
        st.tuples(st.just("train.parquet"), table),
    )


TARGETS = [
    Target("ledgers", "a search's folder", _search_lines, _search),
    Target("ledgers", "logs", _logs, _log, quick=60),
    Target("ledgers", "vpo monitor", _logs, _monitor, quick=8),
    Target("ledgers", "rows of a task", _task_rows, _rows),
]
