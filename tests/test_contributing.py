"""What CONTRIBUTING.md and SECURITY.md name is there, and the templates are what GitHub reads."""

from __future__ import annotations

import importlib
import re

import pytest
import yaml

from tests.checkout import ROOT

TEXTS = {name: (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "SECURITY.md")}
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_that_a_text_names_is_there(name):
    words = re.findall(r"`((?:vpo|trainers|search|eval|tests|docs|benchmarks)/[\w./]+)`", TEXTS[name])
    assert len(words) >= 4
    missing = [word for word in words if "NAME" not in word and not (ROOT / word).exists()]
    assert missing == []


def test_every_registry_and_protocol_of_the_table_is_where_it_says():
    table = TEXTS["CONTRIBUTING.md"].partition("## Adding a part")[2]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == ["task", "objective", "search procedure", "facet", "log reader"]
    for row in rows:
        for name, file in re.findall(r"`(\w+)` in `([\w/]+\.py)`", row[2] + row[3]):
            module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
            assert hasattr(module, name) or f"{name}: " in (ROOT / file).read_text(), f"{name} in {file}"


def test_every_target_of_make_is_there():
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z][a-z-]+)", TEXTS["CONTRIBUTING.md"]):
        assert re.search(rf"^{target}:", targets, re.MULTILINE), target


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_a_form_with_unique_fields(path):
    content = yaml.safe_load(path.read_text())
    if path.stem == "config":
        return
    assert {"name", "description", "body"} <= content.keys()
    ids = [each["id"] for each in content["body"]]
    assert len(ids) == len(set(ids))
    assert all(each["attributes"]["label"] for each in content["body"])
