from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checkout import ROOT

GUIDE = (ROOT / "docs" / "world_model.md").read_text()


def test_the_example_prints_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(source, "docs/world_model.md", "exec"), {})
    said = re.search(r"It prints `(.*?)` and `(.*?)`", GUIDE)
    assert said is not None and capsys.readouterr().out.splitlines()[-2:] == list(said.groups())
    assert (tmp_path / "runs" / "world" / "model" / "config.json").exists()
