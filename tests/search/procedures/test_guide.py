"""The guide's examples run, and its table names every procedure."""

import re
from pathlib import Path

from search.procedures import PROCEDURES

GUIDE = (Path(__file__).parents[3] / "docs" / "procedures.md").read_text()


def test_examples_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 2
    found: dict = {}
    for block in blocks:
        exec(compile(block, "docs/procedures.md", "exec"), found)
    assert "lexicase" in capsys.readouterr().out
    assert found["shown"]


def test_table_names_every_procedure():
    assert re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE) == list(PROCEDURES)
