"""The guide's tables are those of the kept results, and what it says of targets is so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # where a benchmark finds its parts

from loop_gain.tables import markdown, targets_of  # noqa: E402

GUIDE = (ROOT / "docs" / "gain-profile.md").read_text()
FACTS = json.loads((ROOT / "benchmarks" / "results" / "gain_profile.json").read_text())


def test_the_tables_of_the_guide_are_those_of_the_results():
    for table in markdown(FACTS).split("\n\n"):
        assert table in GUIDE, "print them again: python benchmarks/gain_profile.py --markdown"


def test_the_results_meet_the_targets_that_they_say_they_meet():
    by_task = {task: [r for r in FACTS["results"] if r["task"] == task] for task in ("addition", "a5")}
    found = targets_of({task: of_task for task, of_task in by_task.items() if of_task})
    assert [(each.name, each.ok) for each in found] == [(each["name"], each["ok"]) for each in FACTS["targets"]]


def test_the_guide_says_how_many_targets_are_short():
    short = sum(not each["ok"] for each in FACTS["targets"])
    assert f"{short} of {len(FACTS['targets'])} targets are short" in " ".join(GUIDE.split())
