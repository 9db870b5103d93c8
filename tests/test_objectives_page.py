"""The page on objectives names all there are, with their options, and its settings are ones."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.checkout import ROOT
from vpo.objective import DIVERSITY, OBJECTIVES

PAGE = (ROOT / "docs" / "objectives.md").read_text()
ROWS = {
    name: options
    for name, options in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|[^|]*\|$", PAGE, re.MULTILINE)
    if name in OBJECTIVES
}


def test_every_objective_has_a_row_and_every_term_is_named() -> None:
    assert set(ROWS) == set(OBJECTIVES)
    assert all(f'`"{name}"`' in PAGE for name in DIVERSITY)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_the_options_of_a_row_are_the_fields_of_the_objective(name: str) -> None:
    fields = {field.name for field in dataclasses.fields(OBJECTIVES[name])}  # type: ignore[arg-type]
    assert set(re.findall(r"`(\w+)`", ROWS[name])) == fields


def test_the_fields_of_the_terms_are_named() -> None:
    said = re.search(r"`diversity_options` are their fields: (.*)\.", PAGE)
    assert said is not None
    fields = [field.name for term in DIVERSITY.values() for field in dataclasses.fields(term)]  # type: ignore[arg-type]
    assert re.findall(r"`(\w+)`", said[1]) == fields


def test_every_setting_of_the_page_is_one() -> None:
    from trainers import VPOConfig

    here = {"use_cpu": True, "bf16": False}
    table = PAGE[PAGE.index("## What the paper leaves open") :]
    for option in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[2:]:
        first, *others = re.findall(r"`([^`]+)`", option)
        if first.startswith("{"):
            first = f"objective_options={first}"
        settings = eval(f"dict({first})")
        config = VPOConfig("unused", **here, **settings)  # type: ignore[arg-type]
        assert all(getattr(config, key) == value for key, value in settings.items())
        if '"' in "".join(others):
            for other in others:
                key = next(iter(settings))
                value = {"utility": other.strip('"')} if key == "objective_options" else other.strip('"')
                assert getattr(VPOConfig("unused", **here, **{key: value}), key) == value  # type: ignore[arg-type]


def test_what_the_page_prints_is_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    source = re.search(r"```python\n(.*?)```\s+It prints `([^`]+)`", PAGE, re.DOTALL)
    assert source is not None
    exec(compile(source[1], "objectives.md", "exec"), {})
    assert capsys.readouterr().out.strip() == source[2]


def test_what_is_recommended_can_be_built() -> None:
    from vpo.objective import make_objective

    for name, options in re.findall(r"^\| .*? \| `(\w+)` with `(\{.*?\})`", PAGE, re.MULTILINE):
        assert make_objective(name, **eval(options)).name == name
