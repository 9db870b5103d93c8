"""Commands print through `vpo.cli.saying` and `vpo.cli.console` alone, which let no foreign text steer the terminal."""

from __future__ import annotations

import ast

import pytest

from tests.checkout import ROOT, imported_modules, sources

PRINTS = {"print", "echo", "secho", "pprint", "print_json"}
MODULES = {
    "rich",
    "rich.print",
    "rich.markup",
    "rich.console.Console",
    "rich.progress.TextColumn",
    "rich.pretty",
    "pprint",
}
DOORS = {"saying.py", "console.py"}


def other_ways(source: str) -> set[str]:
    """Ways to the terminal past the doors."""
    found = {module for module in imported_modules(source) if module in MODULES}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            bare = isinstance(node.func, ast.Name) or ast.unparse(node.func).startswith(("typer.", "click.", "rich."))
            if (name in PRINTS and bare) or ast.unparse(node.func) in ("sys.stdout.write", "sys.stderr.write"):
                found.add(ast.unparse(node.func))
            if any(each.arg in ("markup", "emoji") for each in node.keywords) or "from_markup" in name:
                found.add("markup")
    return found


def test_commands_print_through_the_two_doors_alone():
    files = [path for path in sources("vpo") if ROOT / "vpo" / "cli" in path.parents and path.name not in DOORS]
    assert len(files) > 50
    found = {str(path.relative_to(ROOT)): other_ways(path.read_text()) for path in files}
    assert {path: ways for path, ways in found.items() if ways} == {}


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "import typer\ntyper.echo('x')",
        "from rich.console import Console",
        "from rich import print",
        "def f():\n    import rich.markup",
        "import sys\nsys.stderr.write('x')",
        "console.print(x, markup=True)",
        "Text.from_markup(x)",
    ],
)
def test_another_way_is_seen(source):
    assert other_ways(source)
