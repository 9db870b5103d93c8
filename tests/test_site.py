"""The documentation site: what its pages name is there, and its pictures and tables say what code and results say."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.checkout import PACKAGES, ROOT, sources

DOCS = ROOT / "docs"
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def pages(nav: list | dict | str) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in pages(each)]


def test_every_guide_has_its_place_in_the_navigation() -> None:
    named, there = pages(CONFIG["nav"]), {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert there - set(named) == set(), "give each a line under nav in mkdocs.yml"
    assert sorted(named) == sorted(there)


def test_a_broken_link_fails_the_build_and_nothing_is_fetched() -> None:
    assert CONFIG["strict"] is True
    assert set(CONFIG["validation"]["links"].values()) == {"warn"} == set(CONFIG["validation"]["nav"].values())
    assert CONFIG["theme"]["font"] is False
    plugins = [next(iter(each)) if isinstance(each, dict) else each for each in CONFIG["plugins"]]
    assert plugins == ["search", "mkdocstrings"]  # others of this theme load scripts from elsewhere
    (options,) = [each["mkdocstrings"] for each in CONFIG["plugins"] if isinstance(each, dict)]
    assert options["handlers"]["python"]["options"]["allow_inspection"] is False


def anchors(text: str) -> set[str]:
    """Names that the headings of a page get, as Python-Markdown's toc makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", words) for words in plain}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found.read_text()), target


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda path: path.stem)
def test_the_api_page_documents_modules_that_have_public_names(page: Path) -> None:
    for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE):
        path = ROOT / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = ast.parse(path.read_text())
        public = [each for each in ast.walk(tree) if isinstance(each, (ast.ClassDef, ast.FunctionDef))]
        listed = [
            each for each in tree.body if isinstance(each, ast.Assign) and "__all__" in ast.unparse(each.targets[0])
        ]
        assert public or listed, name
        for each in listed:  # griffe reads the list and does not run it
            assert isinstance(each.value, (ast.List, ast.Tuple)), (
                f"{name}: __all__ must be written out to be documented"
            )


# --- pictures and tables ----------------------------------------------------------------------------------------------


def test_the_pictures_are_those_that_the_script_draws() -> None:
    drawn = {name: draw() for name, draw in load(DOCS / "figures" / "draw.py").PICTURES.items()}
    kept = {path.name: path.read_text() for path in (DOCS / "figures").glob("*.svg")}
    assert kept == drawn, "draw them again: python docs/figures/draw.py"
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert all(f"(figures/{name})" in pages for name in kept)


def test_the_table_of_results_has_every_benchmark_and_every_target() -> None:
    results = load(DOCS / "hooks" / "results.py")
    page = results.on_page_markdown((DOCS / "reproduce.md").read_text())
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"targets", "workers"}
    assert names <= set(re.findall(r"benchmarks/(\w+)\.py", page))
    files = [path for path in (ROOT / "benchmarks" / "results").glob("*.json") if not path.stem.endswith("-quick")]
    assert {path.name for path in files} == set(re.findall(r"\| `([\w-]+\.json)`, [\d-]+ \|", page))
    short = [target for path in files for target in json.loads(path.read_text())["targets"] if not target["ok"]]
    assert len(short) == len(re.findall(r"^\| \w+ \| .* \| [<>]= ", page, re.MULTILINE)) > 0
    assert "<!--" not in page


def test_a_benchmark_without_results_is_in_the_table_too(tmp_path: Path) -> None:
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text("as `benchmarks/new.py` says")
    (tmp_path / "README.md").write_text("")
    (tmp_path / "benchmarks" / "new.py").write_text(
        '"""Is it so?\n\nAbout 3 minutes a seed on 2 cores; killed, it goes on."""'
    )
    table = load(DOCS / "hooks" / "results.py").table(tmp_path)
    assert (
        "| Is it so? | `python benchmarks/new.py` | 3 minutes a seed on 2 cores | none yet | - | [guide](guide.md) |"
        in table
    )


def test_a_field_of_a_configuration_shows_its_type_once() -> None:
    hook = load(DOCS / "hooks" / "roles.py").on_page_content
    assert hook("(<code>`float` or `str`, *optional*, defaults to `1.0`</code>, default:") == (
        "(<code>float or str</code>, default:"
    )
    assert hook("<code>`dict[str, Any]`, *optional*</code>") == "<code>dict[str, Any]</code>"


def test_a_role_becomes_a_plain_name() -> None:
    hook = load(DOCS / "hooks" / "roles.py").on_page_content
    assert hook("see :class:<code>~trainers.VPOTrainer</code>.") == "see <code>VPOTrainer</code>."
    assert hook("in :mod:<code>vpo.objective</code>") == "in <code>vpo.objective</code>"
    assert hook("<code>vpo.objective</code>") == "<code>vpo.objective</code>"


# --- messages ---------------------------------------------------------------------------------------------------------


def written_texts() -> list[str]:
    """Every text in our sources as one string, each value that is put in written as "...", adjacent pieces joined."""
    found = []
    for path in (path for package in PACKAGES for path in sources(package)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_message_of_troubleshooting_is_one_that_the_code_has() -> None:
    guide = (DOCS / "troubleshooting.md").read_text()
    tables = re.findall(r"^\| message \|.*?(?=^\s*$)", guide, re.MULTILINE | re.DOTALL)
    messages = [
        row.replace("\\|", "|") for table in tables for row in re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    ]
    assert len(messages) > 30
    texts = [re.sub(r"(\.\.\.)+", "...", text) for text in written_texts() if " " in text]
    assert [message for message in messages if not any(holds(text, message.split("...")) for text in texts)] == []


def holds(text: str, parts: list[str]) -> bool:
    """Whether the parts stand in the text, one after the other."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True
