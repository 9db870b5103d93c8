"""What `python benchmarks/fuzz.py` keeps from one session to the next, and what it takes up from the checkout."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from tests.checkout import ROOT
from tests.fuzz.borders import TARGETS


@pytest.fixture
def fuzz(tmp_path, monkeypatch) -> ModuleType:
    """The benchmark, with folder and results of its own, and sessions that find one thing each in no time."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # where a benchmark finds its parts
    import fuzz
    import targets

    monkeypatch.setattr(fuzz, "FOLDER", tmp_path / "runs")
    monkeypatch.setattr(fuzz, "RESULTS", tmp_path / "fuzz.json")
    monkeypatch.setattr(targets, "RESULTS", tmp_path)
    return fuzz


def row(target, seconds: float, findings: list[dict]) -> dict:
    where = {"border": target.border, "target": target.name}
    return {**where, "seconds": seconds, "examples": 7, "sessions": 3, "findings": findings}


def test_without_a_folder_of_its_own_it_goes_on_from_the_results(fuzz, tmp_path):
    finding = {"kind": "ValueError at x", "times": 2, "message": "m", "input": "i"}
    first, second, *_ = TARGETS
    content = {"by_target": [row(first, 5.0, [finding]), row(second, 6.0, [])]}
    fuzz.RESULTS.write_text(json.dumps(content))
    paths = {first: tmp_path / "one.json", second: tmp_path / "two.json"}
    fuzz.restore(paths)
    kept = {key: value for key, value in finding.items() if key != "kind"}
    said = {"seconds": 5.0, "examples": 7, "sessions": 3, "findings": {"ValueError at x": kept}}
    assert fuzz.load(paths[first]) == said
    fuzz.save(paths[first], {**said, "seconds": 9.0})
    fuzz.restore(paths)
    assert fuzz.load(paths[first])["seconds"] == 9.0, "what this machine has counts"


def test_forgetting_drops_former_findings_and_keeps_those_of_the_session(fuzz, monkeypatch, capsys):
    from types import SimpleNamespace

    def session(target, seconds, seed):
        found = {"TypeError at new": {"times": 1, "message": "new", "input": "i"}}
        return SimpleNamespace(findings=found, seconds=1.0, examples=2)

    monkeypatch.setattr(fuzz, "session", session)
    old = {"kind": "ValueError at old", "times": 1, "message": "old", "input": "i"}
    fuzz.RESULTS.write_text(json.dumps({"by_target": [row(target, 5.0, [old]) for target in TARGETS]}))
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--minutes", "0.01", "--forget"])
    assert fuzz.main() == 1
    found = json.loads(fuzz.RESULTS.read_text())["by_target"]
    assert {each["kind"] for row in found for each in row["findings"]} == {"TypeError at new"}
    assert all(each["seconds"] > 5 for each in found), "seconds of former sessions count on"
