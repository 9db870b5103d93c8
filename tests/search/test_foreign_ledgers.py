"""A ledger that no search of ours wrote, or that somebody changed: one message with the line, whatever is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from search.ledger import LedgerError, read_told
from vpo.cli.app import main

COUNTING = str(Path(__file__).parents[1] / "fuzz" / "counting.py")


@pytest.fixture
def folder(tmp_path, capsys):
    """The folder of a search of 12 answers, some of which vary others."""
    settings = {
        "problem": {"name": COUNTING, "num_answers": 1},
        "sampler": {"name": "tests.search.cli_parts:digits", "batches": True},
        "procedure": "evolution",
        "budget": {"max_answers": 12},
        "sampling": {"max_new_tokens": 9},
        "batch": 3,
        "out": str(tmp_path / "out"),
    }
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(settings))
    assert main(["search", "run", str(tmp_path / "search.yaml")]) == 0
    capsys.readouterr()
    return tmp_path / "out"


def change(folder, number, edit):
    """Edit one line of the ledger; ``edit`` takes its record and gives another, or text."""
    path = folder / "ledger.jsonl"
    lines = path.read_text().splitlines()
    changed = edit(json.loads(lines[number]))
    lines[number] = changed if isinstance(changed, str) else json.dumps(changed, separators=(",", ":"))
    path.write_text("\n".join(lines) + "\n")
    return path


def without(name):
    return lambda row: {key: value for key, value in row.items() if key != name}


def of_kind(folder, kind, which=0):
    rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return [number for number, row in enumerate(rows) if row["kind"] == kind][which]


@pytest.mark.parametrize(
    ("kind", "edit", "message"),
    [
        ("search-ledger", without("config"), "lacks 'config'"),
        ("search-ledger", lambda row: {**row, "config": {}}, "lacks 'problems'"),
        ("search-ledger", lambda row: {**row, "config": {**row["config"], "problems": [1]}}, "a problem of the header"),
        ("search-ledger", lambda row: {**row, "config": {**row["config"], "target": "x"}}, "has target 'x'"),
        ("generation", lambda row: [row], "of no kind that a ledger has"),
        ("generation", lambda row: {**row, "kind": "other"}, "of no kind that a ledger has"),
        ("generation", without("text"), "lacks 'text'"),
        ("generation", lambda row: {**row, "problem": "another"}, "which the header does not name"),
        ("generation", lambda row: {**row, "completion_tokens": -1}, "completion_tokens -1"),
        ("generation", lambda row: {**row, "number": 10**30}, "has number"),
        ("generation", lambda row: {**row, "parents": ["0"]}, "has parents"),
        ("evaluation", lambda row: {**row, "answers": {}}, "has answers"),
        ("evaluation", lambda row: {**row, "answers": [{**row["answers"][0], "scalar": None}]}, "has scalar None"),
        ("evaluation", lambda row: {**row, "answers": [{**row["answers"][0], "vector": []}]}, "has vector"),
        ("evaluation", lambda row: {**row, "wall": {}}, "has wall"),
        ("evaluation", lambda row: {**row, "screen": [{}]}, "lacks 'key'"),
        ("evaluation", lambda row: json.dumps(row).replace('"scalar": 0', '"scalar": NaN, "x": 0'), "not JSON"),
        ("evaluation", lambda row: "[" * 100_000, "not JSON"),
        ("generation", lambda row: {**row, "number": 11_000}, "not the completion"),
    ],
)
def test_a_line_that_no_search_writes_is_named_by_every_command(folder, capsys, kind, edit, message):
    path = change(folder, of_kind(folder, kind), edit)
    with pytest.raises(LedgerError, match=message):
        read_told(path)
    for command in (["show"], ["resume"], ["replay"]):
        assert main(["search", *command, str(folder)]) == 1
        said = capsys.readouterr().err
        assert said.count("Error:") == 1 and "Traceback" not in said


def test_an_answer_that_varies_itself_ends_the_lineage_with_a_message(folder, capsys):
    change(folder, of_kind(folder, "generation", 1), lambda row: {**row, "parents": [1]})
    assert main(["search", "show", str(folder), "-p", "0", "--id", "1"]) == 1
    assert "answer 1 varies answer 1, which came later" in capsys.readouterr().err
